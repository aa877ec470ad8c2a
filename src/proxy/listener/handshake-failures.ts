/** Why a TLS handshake failed: a small fixed set, made of what OpenSSL and Node say. */
import type { HandshakeFailure } from '../ipc.ts'

/** `code` of errors, as Node makes it of OpenSSL's reasons (`SSL_R_…` of openssl/sslerr.h). */
const BY_ERROR: Readonly<Record<string, HandshakeFailure>> = {
  ECONNRESET: 'client_closed',
  EPIPE: 'client_closed',
  ERR_SSL_UNEXPECTED_EOF_WHILE_READING: 'client_closed',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'timeout',
  ERR_SSL_HTTP_REQUEST: 'not_tls',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'not_tls',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not_tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not_tls',
  ERR_SSL_BAD_RECORD_TYPE: 'not_tls',
  ERR_SSL_UNEXPECTED_MESSAGE: 'not_tls',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'protocol_version',
  ERR_SSL_VERSION_TOO_LOW: 'protocol_version',
  ERR_SSL_INAPPROPRIATE_FALLBACK: 'protocol_version',
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'protocol_version',
  ERR_SSL_NO_SHARED_CIPHER: 'no_shared_cipher',
  ERR_SSL_NO_SHARED_GROUP: 'no_shared_cipher',
  ERR_SSL_NO_SUITABLE_GROUPS: 'no_shared_cipher',
  ERR_SSL_NO_SUITABLE_KEY_SHARE: 'no_shared_cipher',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'no_shared_cipher',
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: 'no_shared_cipher',
  ERR_SSL_NO_APPLICATION_PROTOCOL: 'alpn',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: 'no_certificate',
}

/** The client ended it with an alert of its own; mostly because it does not trust our certificate. */
const ALERT = /^ERR_SSL_.*_ALERT_/

/** `authorizationError`: `X509_V_ERR_…` of openssl/x509_vfy.h without the prefix. */
const BY_VERIFICATION: Readonly<Record<string, HandshakeFailure>> = {
  UNABLE_TO_GET_ISSUER_CERT: 'unknown_ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown_ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown_ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknown_ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown_ca',
  CERT_UNTRUSTED: 'unknown_ca',
  CERT_HAS_EXPIRED: 'certificate_expired',
  CERT_NOT_YET_VALID: 'certificate_expired',
  CERT_REVOKED: 'certificate_revoked',
  UNABLE_TO_GET_CRL: 'revocation_list',
  CRL_HAS_EXPIRED: 'revocation_list',
  CRL_NOT_YET_VALID: 'revocation_list',
  CRL_SIGNATURE_FAILURE: 'revocation_list',
  UNABLE_TO_DECRYPT_CRL_SIGNATURE: 'revocation_list',
  ERROR_IN_CRL_LAST_UPDATE_FIELD: 'revocation_list',
  ERROR_IN_CRL_NEXT_UPDATE_FIELD: 'revocation_list',
}

/** Of an error before the handshake was over. */
export function failureOfError(code: string | undefined): HandshakeFailure {
  if (code === undefined) return 'other'
  return BY_ERROR[code] ?? (ALERT.test(code) ? 'refused_by_client' : 'other')
}

/** Of a client certificate that does not verify. */
export function failureOfVerification(code: string): HandshakeFailure {
  return BY_VERIFICATION[code] ?? 'certificate_invalid'
}
