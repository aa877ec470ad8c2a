/** The kinds of keys that certificates are made with here. */
import { createPrivateKey } from 'node:crypto'

/**
 * `ec` is what everything takes since ten years and what costs least: P-256. `rsa` (3072 bits, as strong) is for clients
 * that know nothing else; a handshake with it costs several times as much.
 */
export const KEY_TYPES = ['ec', 'rsa'] as const
export type KeyType = (typeof KEY_TYPES)[number]

const EC = { name: 'ECDSA', namedCurve: 'P-256' } as const
const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const
const RSA_BITS = 3_072
/** 65537. */
const RSA_EXPONENT = Uint8Array.of(1, 0, 1)

export async function newKeys(type: KeyType): Promise<CryptoKeyPair> {
  const algorithm =
    type === 'ec' ? EC : { ...RSA, modulusLength: RSA_BITS, publicExponent: RSA_EXPONENT }
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
}

/** The key of an authority, PEM. Rejects with a `RangeError` where it is of no kind that is made here. */
export async function signingKey(pem: string): Promise<CryptoKey> {
  const key = createPrivateKey(pem)
  const isRsa = key.asymmetricKeyType === 'rsa'
  if (!isRsa && key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new RangeError('the key of the authority is neither one of EC P-256 nor of RSA')
  const der = key.export({ type: 'pkcs8', format: 'der' })
  return crypto.subtle.importKey('pkcs8', der, isRsa ? RSA : EC, false, ['sign'])
}
