/** Attacks on what proves a token: algorithm, key and signature. */
import { createHmac } from 'node:crypto'
import { altered, encode, type Signer } from '../forged-token.ts'
import {
  type Attacks,
  claimsWith,
  ec,
  ed,
  evil,
  OTHER,
  OWN,
  ofGlobex,
  ofOther,
  rsa,
  token,
} from './parties.ts'

/** The order of P-256. */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

const hmac =
  (secret: string | Buffer): Signer =>
  input =>
    createHmac('sha256', secret).update(input).digest('base64url')
const bytesOf = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
const numberOf = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex')}`)
const fixed =
  (r: bigint, s: bigint): Signer =>
  () =>
    Buffer.concat([bytesOf(r), bytesOf(s)]).toString('base64url')

/** ECDSA in the form of X.509, which JWS does not use. */
function der(right: Buffer): Buffer {
  const integer = (bytes: Buffer): Buffer => {
    const positive = (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes])
    return Buffer.concat([Buffer.of(2, positive.length), positive])
  }
  const both = Buffer.concat([integer(right.subarray(0, 32)), integer(right.subarray(32))])
  return Buffer.concat([Buffer.of(0x30, both.length), both])
}

/** ECDSA takes s and n − s alike. */
export const withOtherS = (right: Buffer): Buffer =>
  Buffer.concat([right.subarray(0, 32), bytesOf(N - numberOf(right.subarray(32)))])

/** `elsewhere`: where keys are that a token brings along. */
export function attacksOnSignatures(elsewhere: string): Attacks {
  const [head = '', body = '', signature = ''] = token().split('.')
  const half = token({ header: { zip: 'DEF' } }).split('.')
  const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  const publicDer = rsa.publicKey.export({ type: 'spki', format: 'der' })
  return {
    'no signature (none, None, NONE, nOnE, "", missing)': {
      tokens: ['none', 'None', 'NONE', 'nOnE', '', undefined].flatMap(alg => [
        token({ header: { alg }, signer: () => '' }),
        token({ header: { alg }, signer: () => 'AAAA' }),
        token({ header: { alg } }),
      ]),
    },
    'a signature that was cut off': {
      tokens: [`${head}.${body}.`, `${head}.${body}`, `${head}.${body}.${signature.slice(0, 40)}`],
    },
    'HS256 with the public key as the secret': {
      tokens: [
        publicPem,
        publicPem.trim(),
        publicDer,
        JSON.stringify(rsa.jwk),
        rsa.jwk.n ?? '',
      ].map(secret => token({ key: rsa, header: { alg: 'HS256' }, signer: hmac(secret) })),
    },
    'HS256 with a blank secret': {
      tokens: ['', '\0', 'secret'].map(secret =>
        token({ header: { alg: 'HS256' }, signer: hmac(secret) }),
      ),
    },
    'an algorithm of another kind of key': {
      tokens: [
        token({ key: rsa, header: { kid: 'ec' } }),
        token({ key: ec, header: { alg: 'RS256', kid: 'rsa' } }),
        token({ key: ec, header: { alg: 'EdDSA', kid: 'ed' } }),
        token({ key: ed, header: { alg: 'ES256', kid: 'ec' } }),
      ],
    },
    'an algorithm that the issuer does not use': {
      tokens: ['PS256', 'RS512', 'ES384', 'ES256K', 'RS1', 'ES256 ', 'es256'].map(alg =>
        token({ key: alg.startsWith('E') ? ec : rsa, header: { alg } }),
      ),
    },
    'alg that is no text': {
      tokens: [['ES256'], { ES256: 1 }, 256, null, true].map(alg => token({ header: { alg } })),
    },
    'a key in the token (jwk, jku, x5u, x5c, x5t)': {
      tokens: [
        { jwk: evil.jwk },
        { jwk: evil.jwk, kid: undefined },
        { jku: elsewhere },
        { jku: elsewhere, kid: 'unknown' },
        { x5u: elsewhere },
        { x5c: [evil.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] },
        { x5t: encode('thumb'), 'x5t#S256': encode('thumb') },
      ].map(header => token({ key: evil, header })),
    },
    'kid as a path, URL, query, array, object, number or nothing': {
      tokens: [
        '../../../../dev/null',
        '/proc/self/environ',
        elsewhere,
        "' OR 1=1 --",
        '__proto__',
        'constructor',
        '',
        ['ec'],
        { toString: 'ec' },
        0,
        null,
      ].map(kid => token({ key: evil, header: { kid } })),
    },
    'kid of the right key in a form that only looks like it': {
      tokens: [['ec'], { ec: 1 }, 7, null, 'EC', 'ec ', 'ec\0'].map(kid =>
        token({ header: { kid } }),
      ),
    },
    'a signature with r or s of zero, or of the order of the curve': {
      tokens: [
        fixed(0n, 0n),
        fixed(1n, 0n),
        fixed(0n, 1n),
        fixed(N, N),
        fixed(N, 1n),
        fixed(1n, N),
      ].map(each => token({ signer: each })),
    },
    'a signature in another form (DER, longer, shorter, of ones)': {
      tokens: [
        der,
        (right: Buffer) => Buffer.concat([right, Buffer.of(0)]),
        (right: Buffer) => Buffer.concat([Buffer.of(0), right]),
        (right: Buffer) => right.subarray(0, 63),
        (right: Buffer) => Buffer.concat([right, right]),
        () => Buffer.alloc(64, 0xff),
      ].map(alter => token({ signer: altered(ec, alter) })),
    },
    'RSA signatures that were changed': {
      tokens: [
        (right: Buffer) => Buffer.concat([Buffer.of(0), right]),
        (right: Buffer) => Buffer.alloc(right.length),
        () => Buffer.alloc(256, 1),
        () => Buffer.alloc(0),
      ].map(alter => token({ key: rsa, signer: altered(rsa, alter) })),
    },
    'claims of one token with the signature of another': {
      tokens: [
        `${head}.${encode(JSON.stringify(claimsWith({ tenant: 'globex' })))}.${signature}`,
        `${half[0]}.${body}.${signature}`,
      ],
    },
    'key confusion between issuers: the same kid, the key of another': {
      tokens: [
        token({ key: ofOther }),
        token({ key: ofGlobex }),
        token({ key: ec, claims: { iss: OTHER } }),
        token({ key: ec, claims: { iss: OWN } }),
        token({ key: ofOther, claims: { iss: OWN } }),
        token({ key: ofGlobex, claims: { iss: OTHER } }),
      ],
    },
  }
}
