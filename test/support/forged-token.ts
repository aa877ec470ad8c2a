/** Tokens put together by hand, as no library would make them. */
import { sign as signBytes } from 'node:crypto'
import type { SigningKey } from './token-issuer.ts'

/** Makes a signature, in base64url, of what stands before it. */
export type Signer = (input: string) => string

/** A token of whatever `header` and `payload` are. */
export function assemble(
  header: string | Buffer,
  payload: string | Buffer,
  signer: Signer,
): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${signer(input)}`
}

/** Signs whatever bytes with a right signature, as a careless issuer would. */
export function signer({ alg, privateKey }: SigningKey): Signer {
  return input => rightSignature(alg, privateKey, input).toString('base64url')
}

/** What `alter` makes of a right signature. */
export function altered({ alg, privateKey }: SigningKey, alter: (right: Buffer) => Buffer): Signer {
  return input => alter(rightSignature(alg, privateKey, input)).toString('base64url')
}

export function encode(text: string | Buffer): string {
  return Buffer.from(text).toString('base64url')
}

function rightSignature(alg: string, key: SigningKey['privateKey'], input: string): Buffer {
  const bytes = Buffer.from(input)
  if (alg === 'EdDSA') return signBytes(null, bytes, key)
  return signBytes('sha256', bytes, alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key)
}
