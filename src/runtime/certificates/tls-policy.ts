/** What every TLS server of ours offers. */
import { constants } from 'node:crypto'
import { createSecureContext } from 'node:tls'

/** Suites of TLS 1.2 with forward secrecy and AEAD; those of TLS 1.3 are all fine. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

/** No SHA-1 and no SHA-224, neither for us nor for the certificates of clients (RFC 9155; RFC 8446, 4.2.3). */
const SIGNATURES = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ecdsa_secp521r1_sha512',
  'ed25519',
  'ed448',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pss_pss_sha256',
  'rsa_pss_pss_sha384',
  'rsa_pss_pss_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
].join(':')

/**
 * Groups of the key exchange, the first that client and we have in common. With a share for any of them in the first flight
 * there is no second one. The hybrid with ML-KEM (FIPS 203) keeps what is recorded today from the quantum computers of later.
 */
const CLASSIC_GROUPS = 'X25519:P-256:P-384'
const HYBRID_GROUPS = `X25519MLKEM768:${CLASSIC_GROUPS}`

/** Of the OpenSSL that this Node has: 3.5 brought ML-KEM. */
function knownGroups(): string {
  try {
    createSecureContext({ ecdhCurve: HYBRID_GROUPS })
    return HYBRID_GROUPS
  } catch {
    return CLASSIC_GROUPS
  }
}

export const TLS_POLICY = {
  minVersion: 'TLSv1.2',
  ciphers: CIPHERS,
  sigalgs: SIGNATURES,
  ecdhCurve: knownGroups(),
  secureOptions:
    constants.SSL_OP_CIPHER_SERVER_PREFERENCE |
    // A client without AES in hardware says so by naming ChaCha20 first.
    constants.SSL_OP_PRIORITIZE_CHACHA |
    constants.SSL_OP_NO_RENEGOTIATION |
    constants.SSL_OP_NO_COMPRESSION,
} as const
