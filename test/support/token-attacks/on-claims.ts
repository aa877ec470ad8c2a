/** Attacks on what a token says: rightly signed, but not what it must be. */
import {
  type Attacks,
  ISSUER,
  NOW,
  payloadText,
  token,
  withHeader,
  withPayload,
} from './parties.ts'

export function attacksOnClaims(): Attacks {
  return {
    'times that never come': {
      tokens: [
        ...['1e999', '-1e999', '"4102444800"', 'null', '[4102444800]', 'true', '{}'].map(exp =>
          withPayload(payloadText.replace(`"exp":${NOW + 3_600}`, `"exp":${exp}`)),
        ),
        token({ claims: { exp: undefined } }),
        ...['nbf', 'iat'].flatMap(name =>
          ['1e999', '-1e999', '"0"', 'null', '[0]', `${NOW + 3_600}`].map(time =>
            withPayload(payloadText.replace('"exp"', `"${name}":${time},"exp"`)),
          ),
        ),
      ],
    },
    'an expired token': {
      tokens: [token({ claims: { exp: NOW - 61 } }), token({ claims: { exp: -1 } })],
      refusal: 'credential_expired',
    },
    'critical header fields (crit, b64)': {
      tokens: [['exp'], ['x'], [], 'exp', ['b64'], ['__proto__'], ['toString'], null].map(crit =>
        token({ header: { crit, exp: 1, x: 1 } }),
      ),
    },
    'a payload that is not encoded (b64: false)': {
      tokens: [
        token({ header: { b64: false } }),
        token({ header: { b64: false, crit: ['b64'] } }),
        token({ header: { b64: true, crit: ['b64'] } }),
      ],
    },
    'a token that was made for something else (typ)': {
      tokens: [
        'logout+jwt',
        'dpop+jwt',
        'secevent+jwt',
        'text/jwt',
        'application/x/jwt',
        '',
        7,
        null,
        ['JWT'],
      ].map(typ => token({ header: { typ } })),
    },
    'a token for somebody else (aud)': {
      tokens: [
        'billing',
        'orders-test',
        'Orders',
        '',
        [],
        ['billing'],
        [['orders']],
        ['orders', 7],
        { orders: 1 },
        null,
        undefined,
      ].map(aud => token({ claims: { aud } })),
    },
    'an issuer that only looks like ours (iss)': {
      tokens: [
        `${ISSUER}/`,
        'https://LOGIN.example.com',
        'http://login.example.com',
        `${ISSUER}%2f`,
        `${ISSUER}#`,
        ` ${ISSUER}`,
        `${ISSUER}\0`,
        'https://login.ex\u0430mple.com',
        [ISSUER],
        { toString: ISSUER },
        null,
        '',
      ].map(iss => token({ claims: { iss } })),
    },
    'prototype pollution: names that every object has': {
      tokens: [
        withPayload(payloadText.replace('"tenant":"acme"', '"__proto__":{"tenant":"acme"}')),
        withPayload(
          payloadText.replace('"tenant":"acme"', '"constructor":{"prototype":{"tenant":"acme"}}'),
        ),
        ...['__proto__', 'constructor', 'toString', 'hasOwnProperty'].map(name =>
          token({ claims: { tenant: name } }),
        ),
        ...['__proto__', 'constructor', 'toString'].map(iss => token({ claims: { iss } })),
        withHeader('{"__proto__":{"alg":"ES256","kid":"ec"}}'),
        withPayload(payloadText.replace(`"iss":"${ISSUER}"`, `"__proto__":{"iss":"${ISSUER}"}`)),
      ],
    },
    'a tenant that is none, two, or nested': {
      tokens: [
        'initech',
        '',
        7,
        null,
        {},
        { tenant: 'acme' },
        ['acme', 'globex'],
        [['acme']],
        'ACME',
        'acme ',
      ].map(tenantClaim => token({ claims: { tenant: tenantClaim } })),
    },
  }
}
