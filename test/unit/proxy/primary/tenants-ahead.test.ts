import { fstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { ConfigStore } from '../../../../src/config/config-store.ts'
import { encodeTenant } from '../../../../src/config/tenant-text.ts'
import { TenantsAhead } from '../../../../src/proxy/primary/tenants-ahead.ts'
import { tenantsToBegin } from '../../../../src/proxy/primary/worker-start.ts'
import { AheadReader } from '../../../../src/proxy/worker/ahead-reader.ts'
import { tenantConfig } from '../../../support/token-issuer.ts'

/** Some 5 MB. */
const MANY = 20_000

function textOf(index: number): string {
  const host = `${'long-name.'.repeat(16)}tenant-${index}.test`
  return encodeTenant({ ...tenantConfig(`tenant-${index}`), hosts: [host] })
}

function open(folder: string): TenantsAhead {
  const ahead = TenantsAhead.open(folder)
  if (ahead === undefined) throw new Error('no file')
  return ahead
}

await test('what is read is in the file piece by piece, and nobody else finds it', async t => {
  const folder = t.testdir()
  const ahead = open(folder)
  t.teardown(() => ahead.close())
  t.same(readdirSync(folder), [], 'it has no name')
  t.equal(fstatSync(ahead.fd).mode & 0o777, 0o600)
  const reader = new AheadReader(ahead.fd)
  const ends: number[] = []
  for (let index = 0; index < MANY; index += 1) {
    const end = ahead.add(textOf(index))
    if (end === undefined) continue
    ends.push(end)
    // One that is told of every second piece.
    if (ends.length % 2 === 0) reader.readTo(end)
  }
  t.ok(ends.length > 2, `${ends.length} pieces`)
  const last = ahead.finish()
  reader.readTo(last ?? 0)
  t.equal(ahead.count, MANY)
  t.equal(fstatSync(ahead.fd).size, last)
  const { tenants } = reader.tenants
  t.same(
    tenants.map(({ text }) => text),
    Array.from({ length: MANY }, (_, index) => textOf(index)),
  )
  t.equal(tenants.at(-1)?.index, MANY - 1)
  t.throws(() => reader.readTo((last ?? 0) + 1), /the tenants end at/)
})

await test('a text may hold whatever Latin-1 has; no piece is cut in it', async t => {
  const ahead = open(t.testdir())
  t.teardown(() => ahead.close())
  const labels = ['ä ÿ', '\u0085\u00a0', 'line\nfeed "quoted" \\', 'пример \u2028', '\ud800']
  const digest = `sha256:${'ab'.repeat(32)}`
  const texts = Array.from({ length: MANY }, (_, index) =>
    encodeTenant({
      ...tenantConfig(`tenant-${index}`),
      hosts: [`${'long-name.'.repeat(16)}tenant-${index}.test`],
      credentials: [{ apiKey: digest, label: labels[index % labels.length] }],
    }),
  )
  const ends = [...texts.map(text => ahead.add(text)), ahead.finish()]
  const reader = new AheadReader(ahead.fd)
  for (const end of ends) if (end !== undefined) reader.readTo(end)
  t.strictSame(
    reader.tenants.tenants.map(({ text }) => text),
    texts,
  )
  t.same(reader.tenants.tenants[2]?.config.credentials, [{ apiKey: digest, label: labels[2] }])
})

await test('few tenants take no file', async t => {
  const ahead = open(t.testdir())
  t.teardown(() => ahead.close())
  for (let index = 0; index < 10; index += 1) t.equal(ahead.add(textOf(index)), undefined)
  t.equal(ahead.finish(), undefined)
  t.equal(ahead.count, 0)
  t.equal(fstatSync(ahead.fd).size, 0)
})

await test('where there can be no file, or none that takes all, nothing has come ahead', async t => {
  t.equal(TenantsAhead.open(join(t.testdir(), 'none')), undefined)
  const ahead = open(t.testdir())
  let pieces = 0
  for (let index = 0; index < MANY; index += 1) {
    if (ahead.add(textOf(index)) === undefined) continue
    pieces += 1
    t.equal(pieces, 1, 'nothing is told behind what could not be written')
    ahead.close()
  }
  t.equal(ahead.finish(), undefined)
  t.equal(ahead.count, 0)
})

await test('what came ahead counts where it is all that is in force', async t => {
  const texts = ['one', 'two']
  const config = { limits: {} }
  const store = {
    size: texts.length,
    texts: () => texts.values(),
    config,
  } as unknown as ConfigStore
  const none = { limits: {}, removed: [] }
  t.same(tenantsToBegin(store, 1, 2), {
    ahead: 2,
    tenants: { ...none, generation: 1, changed: [] },
  })
  for (const [generation, given] of [
    [1, 0],
    [1, 1],
    [1, 3],
    [2, 2],
  ] as const)
    t.same(tenantsToBegin(store, generation, given), {
      ahead: 0,
      tenants: { ...none, generation, changed: texts },
    })
})
