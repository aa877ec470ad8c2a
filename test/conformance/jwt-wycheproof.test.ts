/**
 * Bearer tokens made of Project Wycheproof's JWS vectors, each with its key set. They lie beside the project, not in it;
 * where they are missing this is skipped and says so.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'tap'
import type { JwtIssuerConfig, TenantConfig } from '../../src/config/schema.ts'
import { JwtChecker } from '../../src/proxy/credential/jwt.ts'
import { DEFAULT_JWT_OPTIONS } from '../../src/proxy/credential/jwt-options.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import { Tenant } from '../../src/proxy/tenant/tenant.ts'

const FOLDER = new URL('../../../shared/conformance/jwt/', import.meta.url)
const VECTORS = new URL('wycheproof-bearer.jsonl', FOLDER)

interface Vector {
  readonly id: string
  readonly comment: string
  readonly result: 'valid' | 'invalid'
  readonly jwks: { readonly keys: readonly { readonly kty: string; readonly alg?: string }[] }
  readonly token: string
}

/** Vectors on which implementations disagree (`contested.json`): whether they are taken here, and why. */
const JUDGED: Readonly<Record<string, readonly [taken: boolean, why: string]>> = {
  286: [
    true,
    'said to have a salt of a wrong length; it has 32 bytes, as RFC 7518 section 3.5 asks, unlike 281 to 285',
  ],
  346: [false, 'PS384 with a key whose alg is PS256 (RFC 7517 section 4.4)'],
  347: [false, 'a key whose alg is "ES521", which does not exist'],
  350: [false, 'PS384 with a key whose alg is PS256'],
  351: [false, 'a key whose alg is "ES521"'],
  360: [false, 'HS256: a symmetric key never counts, whatever becomes of blanks'],
  365: [false, 'HS256, blanks in the header'],
  367: [false, 'HS256, padding in base64url'],
  368: [false, 'HS256, blanks in the payload'],
  370: [false, 'HS256, padding in base64url'],
  372: [false, 'HS256, characters that are not base64url'],
  373: [false, 'HS256, characters that are not base64url'],
  375: [false, 'HS256, a MAC of another text'],
}

const tenant: TenantConfig = {
  id: 'wycheproof',
  hosts: [],
  credentials: [],
  jwt: [],
  deployment: { endpoints: ['http://127.0.0.1:9'] },
  limits: {},
  connect: false,
  passthrough: false,
  quotas: [],
  disabled: false,
}

const ALGORITHMS: JwtIssuerConfig['algorithms'] = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
]

const ABSENT = existsSync(VECTORS)
  ? false
  : 'the Wycheproof vectors (../shared/conformance/jwt) are not beside the project'

await test('Wycheproof: every contested vector is judged', { skip: ABSENT }, async t => {
  const contested = JSON.parse(readFileSync(new URL('contested.json', FOLDER), 'utf8')) as string[]
  t.same(
    Object.keys(JUDGED).map(number => `wycheproof/${number}`),
    contested,
  )
})

await test('Wycheproof bearer tokens', { skip: ABSENT }, async t => {
  const lines = readFileSync(VECTORS, 'utf8')
    .split('\n')
    .filter(line => line !== '')
  const vectors = lines.map(line => JSON.parse(line) as Vector)
  const folder = mkdtempSync(join(tmpdir(), 'amt-wycheproof-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const disagreements: string[] = []
  let taken = 0
  for (const vector of vectors) {
    const accepted = await accepts(vector, join(folder, 'jwks.json'))
    if (accepted) taken += 1
    const { id, comment } = vector
    if (accepted !== expected(vector)) disagreements.push(`${id} ${comment}: taken is ${accepted}`)
  }
  t.same(disagreements, [])
  t.ok(taken > 30, `${taken} of ${vectors.length} taken`)
})

/** Symmetric keys never count here, however valid the source finds them. */
function expected({ id, result, jwks }: Vector): boolean {
  const judged = JUDGED[id.slice('wycheproof/'.length)]
  return judged?.[0] ?? (result === 'valid' && jwks.keys.some(key => key.kty !== 'oct'))
}

async function accepts({ jwks, token }: Vector, path: string): Promise<boolean> {
  writeFileSync(path, JSON.stringify(jwks))
  const log = { warn: () => undefined }
  const directory = TenantDirectory.compile([tenant], 1)
  const checker = new JwtChecker({ directory, log }, DEFAULT_JWT_OPTIONS)
  checker.setIssuers([
    {
      issuer: 'https://issuer.example',
      audiences: ['held-out'],
      jwks: path,
      algorithms: ALGORITHMS,
      types: ['JWT'],
      requireType: false,
      tenantClaim: 'sub',
      clockSkew: 0,
      maxStale: 0,
    },
  ])
  const result = await checker.check(token, Date.now())
  await checker.close()
  return result instanceof Tenant
}
