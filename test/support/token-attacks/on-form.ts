/** Attacks on how a token is written: base64url, JSON, UTF-8, length and depth. */
import { assemble, encode, signer } from '../forged-token.ts'
import { type Attacks, ec, OTHER, payloadText, token, withHeader, withPayload } from './parties.ts'

/** The other text of the same bytes: with a bit behind their end. */
function withTrailingBit(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(part.at(-1) ?? '') + 1] ?? 'B')
}

export function attacksOnForm(): Attacks {
  const good = token()
  const [head = '', body = '', signature = ''] = good.split('.')
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  // Of lengths that leave bits at the end of their base64url.
  const padded = withTrailingBit(encode('{"alg":"ES256","kid":"ec"}'))
  const paddedBody = withTrailingBit(
    encode(payloadText.padEnd(payloadText.length + 2 - (payloadText.length % 3))),
  )
  return {
    'blank tokens': { tokens: ['', '.', '..', '...', 'a.b.c', '-._.~', 'e30.e30.', 'e30.e30.e30'] },
    'huge tokens': {
      tokens: [17, 48].map(kib => token({ claims: { x: 'x'.repeat(kib * 1_024) } })),
    },
    'too many dots, and too few': {
      tokens: [
        `${good}.`,
        `${good}.x`,
        `.${good}`,
        `${head}..${signature}`,
        `${head}${body}`,
        `..${signature}`,
      ],
    },
    'encrypted tokens (JWE)': {
      tokens: [
        `${encode('{"alg":"dir","enc":"A256GCM"}')}..${encode('iv')}.${encode('text')}.${encode('tag')}`,
        `${good}.${signature}.${signature}`,
        token({ header: { enc: 'A256GCM', alg: 'dir' } }),
      ],
    },
    'a token in a token (cty: JWT)': {
      tokens: [assemble('{"alg":"ES256","kid":"ec","cty":"JWT"}', good, signer(ec))],
    },
    'base64url with bits behind its end': {
      tokens: [
        `${head}.${body}.${withTrailingBit(signature)}`,
        ...[`${padded}.${body}`, `${head}.${paddedBody}`].map(
          input => `${input}.${signer(ec)(input)}`,
        ),
      ],
    },
    'base64 that is not base64url': {
      tokens: [
        `${head}.${body}.${signature}==`,
        `${head}=.${body}.${signature}`,
        `${head}.${body}.${signature.slice(0, -2)}+/`,
        `${head}.${body}.%41${signature}`,
        `${head}.${body}.${signature}\u00e9`,
      ],
    },
    'blanks within a token': {
      tokens: [
        `${head} .${body}.${signature}`,
        `${head}. ${body}.${signature}`,
        `${head}.${body}\t.${signature}`,
        `${head}.${body}.${signature} x`,
      ],
    },
    'claims that stand twice': {
      tokens: [
        payloadText.replace('"tenant"', '"tenant":"globex","tenant"'),
        payloadText.replace(/}$/, ',"tenant":"acme"}'),
        payloadText.replace(/}$/, ',"t\\u0065nant":"globex"}'),
        payloadText.replace('"iss"', `"iss":"${OTHER}","iss"`),
        payloadText.replace('"exp"', '"exp":1,"exp"'),
        payloadText.replace(/}$/, ',"realm":{"tenant":"acme","tenant":"globex"}}'),
        payloadText.replace(/}$/, ',"x":[{"a":1,"a":2}]}'),
        payloadText.replace(/}$/, ',"__proto__":1,"__proto__":2}'),
      ].map(withPayload),
    },
    'header fields that stand twice': {
      tokens: [
        '{"alg":"none","alg":"ES256","kid":"ec"}',
        '{"alg":"ES256","alg":"none","kid":"ec"}',
        '{"alg":"ES256","kid":"ec","kid":"ec"}',
        '{"alg":"ES256","\\u0061lg":"ES256","kid":"ec"}',
      ].map(withHeader),
    },
    'deep JSON': {
      tokens: [33, 3_000].map(depth =>
        withPayload(payloadText.replace(/}$/, `,"x":${nested(depth)}}`)),
      ),
    },
    'bytes that are no UTF-8': {
      tokens: [
        withPayload(Buffer.from(payloadText.replace(/}$/, ',"x":"\u00ff"}'), 'latin1')),
        withPayload(Buffer.from(payloadText.replace('acme', 'acme\u00c0\u0080'), 'latin1')),
        withHeader(Buffer.from('{"alg":"ES256","kid":"ec","x":"\u00ed\u00a0\u0080"}', 'latin1')),
        withPayload(`\ufeff${payloadText}`),
        withPayload(Buffer.from(payloadText, 'utf16le')),
      ],
    },
    'JSON that is none, or no object': {
      tokens: [
        ...[
          'null',
          '[]',
          '"x"',
          '1',
          '',
          '{',
          `${payloadText}x`,
          payloadText.replaceAll('"', "'"),
        ].map(withPayload),
        ...['null', '[]', '{', '{"alg":"ES256",}'].map(withHeader),
      ],
    },
  }
}
