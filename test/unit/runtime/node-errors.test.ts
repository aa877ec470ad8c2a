import { test } from 'tap'
import {
  describeListenError,
  isConnectionReset,
  isNameUnknown,
  isNotFound,
  otherProtocol,
  tlsFailureReason,
  upstreamConnectError,
} from '../../../src/runtime/node-errors.ts'

function failure(code: string, message = 'it failed'): Error {
  return Object.assign(new Error(message), { code })
}

await test('a failed listen names the thing, the reason and the code', async t => {
  const what = 'listener "public": 127.0.0.1:80'
  t.match(
    describeListenError(failure('EADDRINUSE'), what),
    `${what}: the address is already in use`,
  )
  t.match(describeListenError(failure('EACCES'), what), 'EACCES')
  t.match(describeListenError(failure('EADDRNOTAVAIL'), what), 'does not have the address')
  t.equal(describeListenError(failure('EWEIRD'), what), `${what}: cannot listen: it failed`)
  t.equal(describeListenError('text', what), `${what}: cannot listen: text`)
})

await test('only who knows can say that a name has no address', async t => {
  for (const code of ['ENOTFOUND', 'ENODATA', 'EBADNAME']) t.ok(isNameUnknown(failure(code)), code)
  for (const code of [
    'ETIMEOUT',
    'ESERVFAIL',
    'EREFUSED',
    'ECONNREFUSED',
    'EAI_AGAIN',
    'ECANCELLED',
  ])
    t.notOk(isNameUnknown(failure(code)), code)
})

await test('failures to connect to a deployment have their error codes', async t => {
  const cases: Record<string, string> = {
    ECONNREFUSED: 'upstream_connect',
    EHOSTUNREACH: 'upstream_connect',
    ENETUNREACH: 'upstream_connect',
    ENOTFOUND: 'upstream_connect',
    EAI_AGAIN: 'upstream_connect',
    ECONNRESET: 'upstream_connect',
    ETIMEDOUT: 'upstream_connect_timeout',
    CERT_HAS_EXPIRED: 'upstream_tls',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'upstream_tls',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'upstream_tls',
    ERR_TLS_CERT_ALTNAME_INVALID: 'upstream_tls',
    ERR_SSL_WRONG_VERSION_NUMBER: 'upstream_tls',
    EPROTO: 'upstream_tls',
    ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'upstream_protocol',
  }
  for (const [code, wanted] of Object.entries(cases)) {
    t.equal(upstreamConnectError(failure(code)), wanted, code)
  }
  t.equal(
    upstreamConnectError(new AggregateError([failure('ETIMEDOUT')])),
    'upstream_connect_timeout',
  )
  t.equal(upstreamConnectError(new AggregateError([])), 'upstream_connect')
  t.equal(upstreamConnectError(otherProtocol()), 'upstream_protocol')
  t.equal(upstreamConnectError(undefined), 'upstream_connect')
})

await test('a peer that is gone is told from a fault', async t => {
  for (const code of ['ECONNRESET', 'EPIPE', 'ECONNABORTED'])
    t.ok(isConnectionReset(failure(code)), code)
  for (const error of [failure('EACCES'), new Error('x'), null, 'ECONNRESET'])
    t.notOk(isConnectionReset(error))
  t.ok(isNotFound(failure('ENOENT')))
  t.notOk(isNotFound(failure('EACCES')))
})

await test('a failed handshake has one of few reasons', async t => {
  const cases: Record<string, string> = {
    ERR_SSL_HTTP_REQUEST: 'not_tls',
    ERR_SSL_WRONG_VERSION_NUMBER: 'not_tls',
    ERR_SSL_UNSUPPORTED_PROTOCOL: 'version',
    ERR_SSL_NO_SHARED_CIPHER: 'cipher',
    ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'certificate_missing',
    CERT_HAS_EXPIRED: 'certificate_expired',
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'certificate_untrusted',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'certificate_untrusted',
    CERT_REVOKED: 'certificate_invalid',
    ERR_SSL_CERTIFICATE_VERIFY_FAILED: 'certificate_invalid',
    ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'refused_by_client',
    ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: 'refused_by_client',
    ERR_TLS_HANDSHAKE_TIMEOUT: 'timeout',
    ECONNRESET: 'closed',
    ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: 'other',
  }
  for (const [code, wanted] of Object.entries(cases))
    t.equal(tlsFailureReason(failure(code)), wanted, code)
  t.equal(tlsFailureReason(new Error('no code')), 'other')
})
