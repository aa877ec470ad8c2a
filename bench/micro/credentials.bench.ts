import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tenantOfApiKey } from '../../src/core/api-key.ts'
import { ApiKeys } from '../../src/proxy/credential/api-keys.ts'
import { JwtChecker } from '../../src/proxy/credential/jwt.ts'
import { DEFAULT_JWT_OPTIONS } from '../../src/proxy/credential/jwt-options.ts'
import { TenantDirectory } from '../../src/proxy/tenant/directory.ts'
import {
  issuerConfig,
  NOW,
  ownIssuer,
  RecordingLog,
  sign,
  signingKey,
  tenantConfig,
} from '../../test/support/token-issuer.ts'
import type { MicroBench, Run } from './measure.ts'
import { API_KEY } from './messages.ts'

const LIMITS = { maxEntries: 65_536, maxKeyBytes: 64 * 2 ** 20 }

export const benches: readonly MicroBench[] = [
  { name: 'api-key-known', prepare: checkKeys },
  { name: 'api-key-malformed', prepare: checkMalformedKeys },
  { name: 'api-key-checksum', prepare: readKeys },
  { name: 'jwt-known', prepare: checkTokens },
  { name: 'jwt-known-1-own-issuer', prepare: () => checkOwnTokens(1) },
  { name: 'jwt-known-10000-own-issuers', prepare: () => checkOwnTokens(10_000) },
  { name: 'jwt-bad-claims', prepare: () => refuseTokens(10_000) },
]

/** A key that was seen before. As in a head that was just read: a view of a longer text. */
function checkKeys(): Run {
  const apiKey = `sha256:${createHash('sha256').update(API_KEY).digest('hex')}`
  const directory = TenantDirectory.compile(
    [tenantConfig('bench', { credentials: [{ apiKey }] })],
    1,
  )
  const keys = new ApiKeys({ directory }, LIMITS)
  const tenant = directory.byId('bench')
  const head = `x-api-key: ${API_KEY}`
  return times => {
    let right = 0
    for (let time = 0; time < times; time += 1)
      if (keys.check(head.slice('x-api-key: '.length), NOW) === tenant) right += 1
    if (right !== times) throw new Error('another tenant')
  }
}

/** One wrong character: the checksum decides, each time anew. */
function checkMalformedKeys(): Run {
  const keys = new ApiKeys({ directory: TenantDirectory.compile([], 1) }, LIMITS)
  const head = `x-api-key: ${API_KEY.slice(0, -1)}${API_KEY.endsWith('0') ? '1' : '0'}`
  return times => {
    let right = 0
    for (let time = 0; time < times; time += 1)
      if (keys.check(head.slice('x-api-key: '.length), NOW) === 'credential_invalid') right += 1
    if (right !== times) throw new Error('taken for a key')
  }
}

/** Form and checksum alone, of a key that is good. */
function readKeys(): Run {
  const head = `x-api-key: ${API_KEY}`
  return times => {
    let right = 0
    for (let time = 0; time < times; time += 1)
      if (tenantOfApiKey(head.slice('x-api-key: '.length)) === 'bench') right += 1
    if (right !== times) throw new Error('taken for no key')
  }
}

/** A token that was verified before: the same, with the text of a head. */
async function checkTokens(): Promise<Run> {
  const key = signingKey('k1', 'RS256')
  const folder = mkdtempSync(join(tmpdir(), 'amt-micro-'))
  const file = join(folder, 'jwks.json')
  writeFileSync(file, JSON.stringify({ keys: [key.jwk] }))
  const directory = TenantDirectory.compile([tenantConfig('acme')], 1)
  const checker = new JwtChecker({ directory, log: new RecordingLog() }, DEFAULT_JWT_OPTIONS)
  checker.setIssuers([issuerConfig(file)])
  const head = `Bearer ${await sign(key)}`
  const tenant = await checker.check(head.slice('Bearer '.length), NOW)
  process.once('exit', () => rmSync(folder, { recursive: true }))
  return times => {
    let right = 0
    for (let time = 0; time < times; time += 1)
      if (checker.check(head.slice('Bearer '.length), NOW) === tenant) right += 1
    if (right !== times) throw new Error(`${right} of ${times} were right`)
  }
}

/** `count` tenants with an issuer each, up to a thousand of which are in use; a known token of the first. */
async function checkOwnTokens(count: number): Promise<Run> {
  const { checker, key, directory } = ownIssuers(count)
  for (let i = 0; i < Math.min(count, 1_000); i += 1)
    await checker.check(await sign(key, { iss: `https://${i}.example` }), NOW)
  const head = `Bearer ${await sign(key, { iss: 'https://0.example', jti: '1' })}`
  await checker.check(head.slice('Bearer '.length), NOW)
  const tenant = directory.byId('t-0')
  return times => {
    let right = 0
    for (let time = 0; time < times; time += 1)
      if (checker.check(head.slice('Bearer '.length), NOW) === tenant) right += 1
    if (right !== times) throw new Error(`${right} of ${times} were right`)
  }
}

/** A new bad token each time, without a signature to check: what a flood costs the event loop. */
async function refuseTokens(count: number): Promise<Run> {
  const { checker, key } = ownIssuers(count)
  const token = await sign(key, { iss: 'https://0.example', aud: 'another' })
  let number = 0
  return times => {
    for (let time = 0; time < times; time += 1) {
      number += 1
      if (
        checker.check(`${token.slice(0, -12)}${`${number}`.padStart(11, '0')}A`, NOW) !==
        'credential_invalid'
      )
        throw new Error('not refused')
    }
  }
}

function ownIssuers(count: number) {
  const key = signingKey('k1', 'RS256')
  const folder = mkdtempSync(join(tmpdir(), 'amt-micro-'))
  const file = join(folder, 'jwks.json')
  writeFileSync(file, JSON.stringify({ keys: [key.jwk] }))
  process.once('exit', () => rmSync(folder, { recursive: true }))
  const tenants = Array.from({ length: count }, (_, i) =>
    tenantConfig(`t-${i}`, { jwt: [ownIssuer(file, { issuer: `https://${i}.example` })] }),
  )
  const directory = TenantDirectory.compile(tenants, 1)
  const checker = new JwtChecker({ directory, log: new RecordingLog() }, DEFAULT_JWT_OPTIONS)
  return { checker, key, directory }
}
