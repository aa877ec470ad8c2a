/** Random tokens, some good, most damaged at random, judged by the proxy and by a second implementation. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import { JwtChecker } from '../../../../src/proxy/credential/jwt.ts'
import { Tenant } from '../../../../src/proxy/tenant/tenant.ts'
import { assemble, encode, signer } from '../../../support/forged-token.ts'
import { secondOpinion } from '../../../support/second-token-opinion.ts'
import { SeededRandom } from '../../../support/seeded-random.ts'
import {
  directoryOf,
  ISSUER,
  issuerConfig,
  NOW,
  RecordingLog,
  signingKey,
} from '../../../support/token-issuer.ts'

const SECONDS = NOW / 1_000
const TOKENS = 4_000
const keys = [signingKey('ec'), signingKey('rsa', 'RS256'), signingKey('ed', 'EdDSA')]
const SEED = Number(process.env['JWT_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

const TIMES = [
  SECONDS - 61,
  SECONDS - 60,
  SECONDS - 59,
  SECONDS,
  SECONDS + 60,
  SECONDS + 61,
  SECONDS + 0.5,
  0,
  -1,
]
const ODD = [null, '', '0', [], {}, true, 1e300, ['orders'], ['orders', 1], ISSUER]
const HEADER: readonly (readonly [string, readonly unknown[]])[] = [
  ['alg', ['ES256', 'RS256', 'EdDSA', 'HS256', 'none', 'PS256']],
  ['kid', ['ec', 'rsa', 'ed', 'x', '']],
  ['typ', ['JWT', 'at+jwt', 'application/at+jwt', 'Application/JWT', 'logout+jwt', '']],
  ['crit', [['exp'], []]],
  ['b64', [true, false]],
  ['x', [1, { y: 1 }]],
]
const CLAIMS: readonly (readonly [string, readonly unknown[]])[] = [
  ['iss', [ISSUER, `${ISSUER}/`]],
  ['aud', ['orders', ['orders', 'x'], ['x'], 'x']],
  ['exp', TIMES],
  ['nbf', TIMES],
  ['iat', TIMES],
  ['tenant', ['acme', 'globex', 'initech', '']],
  ['extra', ['é', { a: { b: [1] } }, ':"{']],
]

/** Changes a few members, and now and then the text itself. */
function textOf(
  random: SeededRandom,
  good: Record<string, unknown>,
  changes: readonly (readonly [string, readonly unknown[]])[],
): string | Buffer {
  const members = { ...good }
  while (random.chance(0.35)) {
    const [name, values] = random.pick(changes)
    members[name] = random.chance(0.15) ? undefined : random.pick(random.chance(0.2) ? ODD : values)
  }
  const text = JSON.stringify(members)
  const roll = random.below(100)
  if (roll < 3) return text.replace('{', `{"${random.pick(Object.keys(good))}":1,`)
  if (roll < 5) return text.replace(/}$/, ',"n":[{"a":1,"a":1}]}')
  if (roll < 6) return text.replace(/}$/, ' ')
  if (roll < 8)
    return Buffer.concat([
      Buffer.from(text.replace(/}$/, ',"u":"')),
      Buffer.of(0xff),
      Buffer.from('"}'),
    ])
  return roll < 12 ? ` ${text}\n` : text
}

function randomToken(random: SeededRandom): string {
  const key = random.pick(keys)
  const header = textOf(random, { alg: key.alg, kid: key.kid }, HEADER)
  const claims = {
    iss: ISSUER,
    aud: 'orders',
    exp: SECONDS + 60,
    tenant: 'acme',
    jti: random.text(8),
  }
  const token = assemble(
    header,
    textOf(random, claims, CLAIMS),
    signer(random.pick([key, key, key, key, ...keys])),
  )
  return random.chance(0.25) ? damaged(random, token) : token
}

/** One character less, more, or another; or a signature with one bit the other way. */
function damaged(random: SeededRandom, token: string): string {
  const at = random.below(token.length)
  const other = random.pick(['A', 'B', 'z', '-', '_', '.', '=', ' ', '+'])
  switch (random.below(5)) {
    case 0:
      return token.slice(0, at) + token.slice(at + 1)
    case 1:
      return token.slice(0, at) + other + token.slice(at)
    case 2:
      return token.slice(0, at) + other + token.slice(at + 1)
    case 3:
      return token.slice(0, -1) + random.pick('ABCDEFGHIJKLMNOPQRSTUVWXYZ'.split(''))
    default: {
      const dot = token.lastIndexOf('.') + 1
      const bytes = Buffer.from(token.slice(dot), 'base64url')
      const byte = random.below(Math.max(1, bytes.length))
      bytes[byte] = (bytes[byte] ?? 0) ^ (1 << random.below(8))
      return token.slice(0, dot) + encode(bytes)
    }
  }
}

await test('the proxy and a second implementation agree on random tokens', async t => {
  t.comment(`JWT_SEED=${SEED}`)
  const folder = mkdtempSync(join(tmpdir(), 'amt-differential-'))
  const path = join(folder, 'jwks.json')
  writeFileSync(path, JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }))
  const checker = new JwtChecker({
    directory: directoryOf('acme', 'globex'),
    log: new RecordingLog(),
  })
  checker.setIssuers([issuerConfig(path)])
  t.teardown(async () => {
    await checker.close()
    rmSync(folder, { recursive: true })
  })
  const rules = {
    issuer: ISSUER,
    audience: 'orders',
    keys: keys.map(({ jwk }) => jwk),
    nowSeconds: SECONDS,
    skewSeconds: 60,
  }
  const random = new SeededRandom(SEED)
  const taken = { ours: 0, theirs: 0 }
  const disagreements: string[] = []
  for (let i = 0; i < TOKENS; i += 1) {
    const token = randomToken(random)
    const result = await checker.check(token, NOW)
    const ours = result instanceof Tenant ? result.id : undefined
    const tenant = secondOpinion(token, rules)
    const theirs = tenant === 'acme' || tenant === 'globex' ? tenant : undefined
    if (ours !== undefined) taken.ours += 1
    if (theirs !== undefined) taken.theirs += 1
    if (ours !== theirs) disagreements.push(`ours ${ours}, theirs ${theirs}: ${token}`)
  }
  t.same(disagreements.slice(0, 5), [])
  t.ok(taken.ours > TOKENS / 10, `${taken.ours} of ${TOKENS} taken`)
  t.ok(taken.ours < TOKENS * 0.9)
})
