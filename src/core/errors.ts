/**
 * Every refusal and failure that a peer can meet, in one table. Code branches on `ErrorCode` and on nothing else;
 * `docs/errors.md` lists the same codes, and a test compares the two.
 */
export interface ErrorSpec {
  /** Whose fault it is, as far as the proxy can tell. */
  readonly source: 'downstream' | 'upstream' | 'proxy' | 'mixer'
  /** HTTP status of the answer; on a connection without HTTP the connection is closed instead. */
  readonly http: number
  /** gRPC status code of the same answer. */
  readonly grpc: number
  /** Response flag in the access log; Envoy's word where it has one. */
  readonly flag: string
  /** One sentence for the person who reads the answer. It names nothing about topology. */
  readonly title: string
}

// biome-ignore format: a table, one line a code
export const ERRORS = {
  // What the peer sent cannot be read, or could be read in two ways. The connection is closed.
  malformed_request: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the request is not valid HTTP' },
  malformed_target: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the request target is not valid' },
  malformed_field: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'a header field is not valid' },
  malformed_chunk: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the chunked body is not valid' },
  ambiguous_framing: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the length of the body could be read in two ways' },
  unsafe_path: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the path could be read in two ways' },
  invalid_host: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'exactly one valid Host is needed' },
  unsupported_version: { source: 'downstream', http: 505, grpc: 12, flag: 'DPE', title: 'only HTTP/1.0 and HTTP/1.1 are served here' },
  unsupported_coding: { source: 'downstream', http: 501, grpc: 12, flag: 'DPE', title: 'only the chunked transfer coding is served' },
  unsupported_method: { source: 'downstream', http: 501, grpc: 12, flag: 'DPE', title: 'this method is not served' },
  unsupported_expectation: { source: 'downstream', http: 417, grpc: 12, flag: 'DPE', title: 'only 100-continue can be expected' },
  http2_invalid: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'the connection does not keep to HTTP/2' },
  http2_flood: { source: 'downstream', http: 429, grpc: 8, flag: 'DPE', title: 'too many frames that bring nothing, or streams that end before their time' },
  proxy_protocol_invalid: { source: 'downstream', http: 400, grpc: 13, flag: 'DPE', title: 'a valid PROXY protocol header must come first' },
  proxy_protocol_untrusted: { source: 'downstream', http: 403, grpc: 7, flag: 'DPE', title: 'PROXY protocol headers are not taken from this peer' },
  tls_handshake_failed: { source: 'downstream', http: 400, grpc: 16, flag: 'DPE', title: 'the TLS handshake failed' },
  // Caps.
  target_too_long: { source: 'downstream', http: 414, grpc: 8, flag: 'DPE', title: 'the request target is too long' },
  head_too_large: { source: 'downstream', http: 431, grpc: 8, flag: 'DPE', title: 'the header section is too large' },
  too_many_fields: { source: 'downstream', http: 431, grpc: 8, flag: 'DPE', title: 'there are too many header fields' },
  trailers_too_large: { source: 'downstream', http: 431, grpc: 8, flag: 'DPE', title: 'the trailer section is too large' },
  too_many_pipelined: { source: 'downstream', http: 429, grpc: 8, flag: 'DPE', title: 'too many calls were sent ahead of their answers' },
  chunk_extensions_too_large: { source: 'downstream', http: 413, grpc: 8, flag: 'DPE', title: 'the chunk extensions of the body are too large' },
  body_too_large: { source: 'downstream', http: 413, grpc: 8, flag: 'RL', title: 'the body is larger than this tenant may send' },
  // Time.
  header_timeout: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the request head did not arrive in time' },
  body_timeout: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the request body stopped arriving' },
  body_too_slow: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the request body arrived too slowly' },
  read_too_slow: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the answer was read too slowly' },
  call_timeout: { source: 'proxy', http: 504, grpc: 4, flag: 'UT', title: 'the call took longer than a call may take' },
  ping_timeout: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the connection did not answer a PING' },
  idle_timeout: { source: 'downstream', http: 408, grpc: 4, flag: 'DT', title: 'the connection was idle for too long' },
  client_closed: { source: 'downstream', http: 499, grpc: 1, flag: 'DC', title: 'the client closed the connection' },
  // Identity.
  unroutable: { source: 'downstream', http: 401, grpc: 16, flag: 'UAEX', title: 'no credential, address or name says whose call this is' },
  credential_invalid: { source: 'downstream', http: 401, grpc: 16, flag: 'UAEX', title: 'the credential is not valid' },
  credential_expired: { source: 'downstream', http: 401, grpc: 16, flag: 'UAEX', title: 'the credential has expired' },
  credential_ambiguous: { source: 'downstream', http: 400, grpc: 13, flag: 'UAEX', title: 'more than one credential of a kind was sent' },
  credential_check_unavailable: { source: 'proxy', http: 503, grpc: 14, flag: 'UAEX', title: 'the credential cannot be checked at the moment' },
  tenant_mismatch: { source: 'downstream', http: 403, grpc: 7, flag: 'UAEX', title: 'the credential belongs to another tenant than the address, name or certificate' },
  misdirected_request: { source: 'downstream', http: 421, grpc: 7, flag: 'UAEX', title: 'this connection was made for another name' },
  svid_invalid: { source: 'downstream', http: 401, grpc: 16, flag: 'UAEX', title: 'the client certificate has a SPIFFE id and is no valid X.509-SVID' },
  svid_untrusted: { source: 'downstream', http: 401, grpc: 16, flag: 'UAEX', title: 'the issuer of the client certificate does not speak for the trust domain of its SPIFFE id' },
  loop_detected: { source: 'downstream', http: 508, grpc: 9, flag: 'LOOP', title: 'the call has passed this proxy before' },
  tenant_disabled: { source: 'downstream', http: 403, grpc: 7, flag: 'UAEX', title: 'this tenant is disabled' },
  // Limits.
  rate_limited: { source: 'downstream', http: 429, grpc: 8, flag: 'RL', title: 'too many calls' },
  tenant_overloaded: { source: 'downstream', http: 503, grpc: 8, flag: 'UO', title: 'too many calls of this tenant at once' },
  too_many_connections: { source: 'downstream', http: 503, grpc: 8, flag: 'UO', title: 'too many connections' },
  source_connections: { source: 'downstream', http: 429, grpc: 8, flag: 'UO', title: 'too many connections from this address' },
  source_connection_rate: { source: 'downstream', http: 429, grpc: 8, flag: 'RL', title: 'too many new connections from this address' },
  source_handshake_rate: { source: 'downstream', http: 429, grpc: 8, flag: 'RL', title: 'too many new TLS handshakes of this address' },
  source_handshakes: { source: 'downstream', http: 429, grpc: 8, flag: 'UO', title: 'too many TLS handshakes of this address at once' },
  source_credentials: { source: 'downstream', http: 503, grpc: 14, flag: 'UAEX', title: 'too many credentials from this address are not valid' },
  quota_exhausted: { source: 'downstream', http: 429, grpc: 8, flag: 'RL', title: 'the quota of this tenant is used up' },
  quota_unavailable: { source: 'proxy', http: 503, grpc: 14, flag: 'RLSE', title: 'the quota of this tenant cannot be checked at the moment' },
  // Deployments.
  upstream_connect: { source: 'upstream', http: 503, grpc: 14, flag: 'UF', title: 'the deployment cannot be reached' },
  upstream_unresolved: { source: 'upstream', http: 503, grpc: 14, flag: 'DF', title: 'the deployment cannot be found' },
  upstream_queue_full: { source: 'upstream', http: 503, grpc: 14, flag: 'UO', title: 'too many calls wait for the deployment' },
  upstream_queue_timeout: { source: 'upstream', http: 503, grpc: 14, flag: 'UO', title: 'no connection to the deployment became free in time' },
  upstream_connect_timeout: { source: 'upstream', http: 504, grpc: 14, flag: 'UF', title: 'the deployment did not accept the connection in time' },
  upstream_tls: { source: 'upstream', http: 502, grpc: 14, flag: 'UF', title: 'the deployment could not prove who it is' },
  upstream_protocol: { source: 'upstream', http: 502, grpc: 14, flag: 'UPE', title: 'the deployment does not speak HTTP/2' },
  upstream_timeout: { source: 'upstream', http: 504, grpc: 4, flag: 'UT', title: 'the deployment did not answer in time' },
  upstream_reset: { source: 'upstream', http: 502, grpc: 14, flag: 'UC', title: 'the deployment closed the connection' },
  upgrade_unsupported: { source: 'upstream', http: 501, grpc: 12, flag: 'UPE', title: 'the deployment cannot change to this protocol' },
  upstream_malformed: { source: 'upstream', http: 502, grpc: 13, flag: 'UPE', title: 'the deployment sent an answer that is not valid' },
  // The proxy itself.
  draining: { source: 'proxy', http: 503, grpc: 14, flag: 'DRAIN', title: 'the proxy is shutting down' },
  tenant_draining: { source: 'proxy', http: 503, grpc: 14, flag: 'DRAIN', title: 'this tenant is not served at the moment' },
  overloaded: { source: 'proxy', http: 503, grpc: 14, flag: 'OM', title: 'the proxy has more to do than it can at the moment' },
  journal_unavailable: { source: 'proxy', http: 503, grpc: 14, flag: 'JRNL', title: 'usage cannot be recorded at the moment' },
  internal_error: { source: 'proxy', http: 500, grpc: 13, flag: 'IE', title: 'the proxy failed' },
  // The HTTP interfaces of mixer and admin server.
  unauthorized: { source: 'mixer', http: 401, grpc: 16, flag: 'AUTH', title: 'a valid token is needed' },
  unidentified_source: { source: 'mixer', http: 403, grpc: 7, flag: 'UAEX', title: 'the source of the connection does not show which deployment calls' },
  not_found: { source: 'mixer', http: 404, grpc: 5, flag: 'NF', title: 'there is nothing here' },
  method_not_allowed: { source: 'mixer', http: 405, grpc: 12, flag: 'NF', title: 'this method is not allowed here' },
  payload_too_large: { source: 'mixer', http: 413, grpc: 8, flag: 'RL', title: 'the message is too large' },
  unsupported_media_type: { source: 'mixer', http: 415, grpc: 3, flag: 'BAD', title: 'the message must be JSON, plain or with gzip' },
  malformed_message: { source: 'mixer', http: 400, grpc: 3, flag: 'BAD', title: 'the message is not valid' },
  producer_unknown: { source: 'mixer', http: 409, grpc: 9, flag: 'GAP', title: 'no proxy has announced this producer' },
  report_gap: { source: 'mixer', http: 409, grpc: 9, flag: 'GAP', title: 'a report is missing before this one' },
  window_ahead: { source: 'mixer', http: 409, grpc: 9, flag: 'CLOCK', title: 'usage is dated more than a day after the clock of the mixer' },
  quota_unknown: { source: 'mixer', http: 404, grpc: 5, flag: 'NF', title: 'this tenant has no quota of this name' },
  id_conflict: { source: 'mixer', http: 409, grpc: 6, flag: 'DUP', title: 'this id was used before, for something else' },
  host_not_allowed: { source: 'proxy', http: 403, grpc: 7, flag: 'HOST', title: 'the admin server does not answer to this name or page' },
  configuration_refused: { source: 'proxy', http: 422, grpc: 9, flag: 'CFG', title: 'the configuration is refused; the old one stays in force' },
  profile_in_progress: { source: 'proxy', http: 409, grpc: 9, flag: 'BUSY', title: 'another profile is being taken; one at a time' },
  profile_failed: { source: 'proxy', http: 503, grpc: 14, flag: 'BUSY', title: 'the profile cannot be taken' },
  ledger_unavailable: { source: 'mixer', http: 503, grpc: 14, flag: 'LEDGER', title: 'the ledger cannot be written at the moment' },
} as const satisfies Record<string, ErrorSpec>

export type ErrorCode = keyof typeof ERRORS

/** RFC 9457 problem details of `code`; `detail` is for the caller and must name nothing that the caller may not know. */
export function problem(code: ErrorCode, detail?: string, extra?: Record<string, unknown>): string {
  const { http, title } = ERRORS[code]
  return JSON.stringify({
    type: `about:amt/${code}`,
    title,
    status: http,
    ...(detail === undefined ? {} : { detail }),
    ...extra,
  })
}
