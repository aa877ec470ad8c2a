/** Tenant sources of a running primary: what is done to the files, and what is then in force. */
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { StartedPrimary, tenantEntry } from '../support/start-primary.ts'

const RELOADED = 'configuration reloaded'
const REFUSED = 'configuration refused; the old one stays in force'

async function started(t: Test, config: Record<string, unknown> = {}): Promise<StartedPrimary> {
  const primary = new StartedPrimary(t, { workers: 2, config })
  await primary.log.first('ready')
  return primary
}

function line(id: string, more: object = {}): string {
  return `${JSON.stringify({ ...tenantEntry(id), ...more })}\n`
}

/** Whole, as deployment tools do it. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

async function tenants(primary: StartedPrimary): Promise<string[]> {
  const { tenants: list } = await primary.json<{ tenants: { id: string }[] }>('/tenants')
  return list.map(({ id }) => id)
}

await test('a file that is removed from a directory takes its tenant with it', async t => {
  const primary = await started(t)
  const file = join(primary.folder, 'tenants', 'globex.yaml')
  let reloaded = primary.log.next(RELOADED)
  replace(file, line('globex'))
  t.match(await reloaded, { cause: 'watch', tenants: 2 })
  reloaded = primary.log.next(RELOADED)
  rmSync(file)
  t.match(await reloaded, { cause: 'watch', tenants: 1 })
  t.equal((await primary.get('/tenants/globex')).status, 404)
  const client = await primary.client()
  t.equal(client.tenants, 'acme')
})

await test('what changes after it was read and before it is watched is in force all the same', async t => {
  const folder = t.testdir({ tenants: {}, 'all.jsonl': line('one') })
  const config = { tenantSources: [{ file: 'all.jsonl' }, { directory: 'tenants' }] }
  const primary = new StartedPrimary(t, { folder, config })
  t.same(primary.log.all('ready'), [], 'it has read its sources, and its workers have yet to start')
  replace(join(folder, 'all.jsonl'), `${line('one')}${line('two')}`)
  replace(join(folder, 'tenants', 'three.yaml'), line('three'))
  t.match(await primary.log.first(RELOADED), { cause: 'watch', tenants: 4 })
  t.same(await tenants(primary), ['acme', 'one', 'three', 'two'])
})

await test('sed -i on a tenant’s file changes that tenant', async t => {
  const primary = await started(t)
  const file = join(primary.folder, 'tenants', 'globex.yaml')
  let reloaded = primary.log.next(RELOADED)
  replace(file, line('globex', { disabled: false }))
  await reloaded
  reloaded = primary.log.next(RELOADED)
  execFileSync('sed', ['-i', 's/"disabled":false/"disabled":true/', file])
  t.match(await reloaded, { generation: 3 })
  t.match(await primary.json('/tenants/globex'), { disabled: true })
})

await test('a tenants file that is written in place in two parts is in force when it is whole', async t => {
  const folder = t.testdir({
    tenants: {},
    'all.jsonl': `${line('one')}${line('two')}${line('three')}`,
  })
  const primary = new StartedPrimary(t, {
    folder,
    config: { tenantSources: [{ file: 'all.jsonl' }] },
  })
  await primary.log.first('ready')
  const file = join(folder, 'all.jsonl')
  const reloaded = primary.log.next(RELOADED)
  // It ends with a line, so nothing but the time tells that it is no whole.
  writeFileSync(file, line('one'))
  await new Promise(resolve => setTimeout(resolve, 1_200))
  appendFileSync(file, `${line('two')}${line('three')}${line('four')}`)
  t.match(await reloaded, { tenants: 5, generation: 2 })
  t.equal(primary.log.all(RELOADED).length, 1)
  t.same(await tenants(primary), ['acme', 'four', 'one', 'three', 'two'])
})

await test('two tenants that claim the same are refused with both names and both places', async t => {
  const primary = await started(t)
  const one = join(primary.folder, 'tenants', 'one.yaml')
  const reloaded = primary.log.next(RELOADED)
  replace(one, line('one', { hosts: ['www.example.com'] }))
  await reloaded
  const refused = primary.log.next(REFUSED)
  replace(join(primary.folder, 'tenants', 'two.yaml'), line('two', { hosts: ['www.example.com'] }))
  const { problem } = await refused
  t.match(
    problem,
    /tenants\/two\.yaml:1:\d+: hosts\[0\]: the host www\.example\.com is claimed by the tenants one and two; it stands also at hosts\[0\] \(.*tenants\/one\.yaml:1\)/,
  )
  t.same(await tenants(primary), ['acme', 'one'])
  const { body } = await primary.get('/metrics')
  t.match(body, /^amt_config_generation 2$/m)
  t.match(body, /^amt_config_errors_total 1$/m)
  const mended = primary.log.next(RELOADED)
  replace(one, line('one'))
  t.match(
    await mended,
    { tenants: 3 },
    'and what waited is in force once nothing is wrong any more',
  )
})

await test('a source that can no longer be read stays in force as it was', async t => {
  const primary = await started(t)
  const file = join(primary.folder, 'tenants', 'globex.yaml')
  let reloaded = primary.log.next(RELOADED)
  replace(file, line('globex'))
  await reloaded
  // A link that leads to itself, which nobody can read whoever he is.
  const refused = primary.log.next(REFUSED)
  symlinkSync('loop', join(primary.folder, 'loop'))
  renameSync(join(primary.folder, 'loop'), join(primary.folder, 'tenants', 'loop'))
  symlinkSync('globex.yaml', join(primary.folder, 'next'))
  renameSync(join(primary.folder, 'next'), file)
  t.match(await refused, { cause: 'watch', problem: /globex\.yaml:1:1: the file cannot be read/ })
  t.same(await tenants(primary), ['acme', 'globex'])
  t.match((await primary.get('/metrics')).body, /^amt_config_errors_total 1$/m)
  reloaded = primary.log.next(RELOADED)
  replace(file, line('globex', { disabled: true }))
  t.match(await reloaded, { tenants: 2 })
})

/** As somebody whom permissions bind, where the test runs as root. */
async function asNobody(run: () => Promise<void>): Promise<void> {
  if (process.geteuid?.() !== 0) return run()
  process.seteuid?.(65_534)
  try {
    await run()
  } finally {
    process.seteuid?.(0)
  }
}

await test('a file whose permission was lost stays in force as it was', async t => {
  const primary = await started(t)
  const file = join(primary.folder, 'tenants', 'globex.yaml')
  const reloaded = primary.log.next(RELOADED)
  replace(file, line('globex'))
  await reloaded
  const refused = primary.log.next(REFUSED)
  chmodSync(file, 0)
  await asNobody(async () => {
    t.match(await refused, { cause: 'watch', problem: /globex\.yaml:1:1: the file cannot be read/ })
  })
  t.same(await tenants(primary), ['acme', 'globex'])
  t.match((await primary.get('/metrics')).body, /^amt_config_errors_total 1$/m)
  const mended = primary.log.next(RELOADED)
  replace(file, line('globex', { disabled: true }))
  t.match(await mended, { tenants: 2 })
})

await test('a directory that is deleted and made anew never takes its tenants away in between', async t => {
  const primary = await started(t)
  const directory = join(primary.folder, 'tenants')
  let reloaded = primary.log.next(RELOADED)
  for (const id of ['one', 'two']) replace(join(directory, `${id}.yaml`), line(id))
  await reloaded
  while (primary.log.all(RELOADED).at(-1)?.tenants !== 3) await primary.log.next(RELOADED)
  const refused = primary.log.next(REFUSED)
  rmSync(directory, { recursive: true })
  t.match(await refused, { problem: /the directory .* does not exist/ })
  t.same(await tenants(primary), ['acme', 'one', 'two'])
  reloaded = primary.log.next(RELOADED)
  mkdirSync(directory)
  for (const id of ['one', 'three']) writeFileSync(join(directory, `${id}.yaml`), line(id))
  t.match(await reloaded, { tenants: 3 })
  t.same(await tenants(primary), ['acme', 'one', 'three'])
})

await test('a ConfigMap that Kubernetes swaps is in force as a whole', async t => {
  const folder = t.testdir({
    tenants: {},
    v1: { 'a.yaml': line('a'), 'b.yaml': line('b') },
    v2: { 'a.yaml': line('a', { disabled: true }), 'c.yaml': line('c') },
  })
  const mount = join(folder, 'tenants')
  symlinkSync('../v1', join(mount, '..data'))
  for (const name of ['a.yaml', 'b.yaml']) symlinkSync(join('..data', name), join(mount, name))
  const primary = new StartedPrimary(t, { folder })
  await primary.log.first('ready')
  t.same(await tenants(primary), ['a', 'acme', 'b'])
  const reloaded = primary.log.next(RELOADED)
  // As its AtomicWriter does it: the data at once, then the links that lead into it.
  symlinkSync('../v2', join(mount, '..data_tmp'))
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
  symlinkSync(join('..data', 'c.yaml'), join(mount, 'c.yaml'))
  rmSync(join(mount, 'b.yaml'))
  t.match(await reloaded, { tenants: 3, generation: 2 })
  t.same(await tenants(primary), ['a', 'acme', 'c'])
  t.match(await primary.json('/tenants/a'), { disabled: true })
})

await test('a change that a worker refuses is taken back, and stays refused until it is mended', async t => {
  const primary = await started(t)
  const unwanted = join(primary.folder, 'tenants', 'unwanted.yaml')
  let refused = primary.log.next(REFUSED)
  replace(unwanted, line('unwanted'))
  t.match(await refused, { problem: 'tenant "unwanted": cannot be served' })
  t.same(await tenants(primary), ['acme'])
  refused = primary.log.next(REFUSED)
  replace(join(primary.folder, 'tenants', 'globex.yaml'), line('globex'))
  await refused
  const reloaded = primary.log.next(RELOADED)
  rmSync(unwanted)
  t.match(await reloaded, { tenants: 2 })
  const client = await primary.client()
  t.equal(client.tenants, 'acme,globex')
})

await test('a watched change leaves the main file for somebody who asks for it', async t => {
  const primary = await started(t)
  primary.writeConfig({ timeouts: { drain: '9s', worker: 'off' } })
  const reloaded = primary.log.next(RELOADED)
  replace(join(primary.folder, 'tenants', 'globex.yaml'), line('globex'))
  t.match(await reloaded, { tenants: 2 })
  t.match(await primary.post('/reload'), { status: 422, json: { problems: [/timeouts\.drain/] } })
  t.same(await tenants(primary), ['acme', 'globex'])
})
