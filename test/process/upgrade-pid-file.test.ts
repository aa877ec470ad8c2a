/** The pid file over upgrades, as a service manager reads it: it may look at any moment, and for sure when the old process ends. */
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { t as root, type Test, test } from 'tap'
import { runAmt } from '../support/amt.ts'
import { readUntil } from '../support/running-amt.ts'
import { ended, shortFolder, upgradeWorld } from '../support/upgrade-world.ts'

root.setTimeout(600_000)

/** Reads a file again and again, and keeps what it held in turn; an error is its code. */
const READER = `
  const { readFileSync } = require('node:fs')
  const { parentPort, workerData: { path, stop } } = require('node:worker_threads')
  const [seen, pause] = [[], new Int32Array(new SharedArrayBuffer(4))]
  let reads = 0
  for (; Atomics.load(stop, 0) === 0; reads += 1) {
    let now
    try { now = readFileSync(path, 'utf8') } catch (error) { now = error.code }
    if (now !== seen.at(-1)) seen.push(now)
    // The processes that start meanwhile need the cores as well.
    if (reads % 20 === 0) Atomics.wait(pause, 0, 0, 0.2)
  }
  parentPort.postMessage({ seen, reads })
`

interface Readings {
  readonly seen: readonly string[]
  readonly reads: number
}

/** Reads `path` in a tight loop from now on, until the answer is called. */
function readAllTheTime(t: Test, path: string): () => Promise<Readings> {
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const reader = new Worker(READER, {
    eval: true,
    execArgv: [],
    env: {},
    workerData: { path, stop },
  })
  const result = new Promise<Readings>((resolve, reject) => {
    reader.once('message', resolve)
    reader.once('error', reject)
  })
  t.teardown(async () => reader.terminate())
  return async () => {
    Atomics.store(stop, 0, 1)
    return result
  }
}

await test('it names the process in charge at every moment at which it can be read', async t => {
  const path = join(shortFolder(t), 'proxy.pid')
  // Nothing is open when the old one is to drain: it ends as soon as it can.
  const lab = await upgradeWorld(t, { args: ['--pid-file', path] })
  const pids = [lab.pid()]
  t.equal(readFileSync(path, 'utf8'), `${pids[0]}\n`)
  const read = readAllTheTime(t, path)
  for (let time = 0; time < 2; time += 1) {
    const old = lab.pid()
    const { code, stdout, stderr } = await lab.upgrade()
    t.equal(code, 0, stderr)
    const pid = Number(/process (\d+) serves/.exec(stdout)?.[1])
    t.equal(readFileSync(path, 'utf8'), `${pid}\n`, 'and the new one when the command says so')
    pids.push(pid)
    await ended(lab, old)
    await readUntil(
      async () => lab.pid(),
      now => now === pid,
      60_000,
    )
    t.equal(lab.pid(), pid)
  }
  const { seen, reads } = await read()
  t.comment(`${reads} reads`)
  t.same(
    seen,
    pids.map(pid => `${pid}\n`),
  )
  process.kill(lab.pid(), 'SIGTERM')
  await ended(lab, lab.pid())
  await readUntil(
    async () => existsSync(path),
    there => !there,
  )
  t.notOk(existsSync(path), 'the last one takes it with it')
})

await test('it names the new one when the old one ends, also where that one is not ready yet', async t => {
  const path = join(shortFolder(t), 'proxy.pid')
  const lab = await upgradeWorld(t, { args: ['--pid-file', path] })
  const old = lab.pid()
  // The new version serves, and cannot have everything that it wants yet.
  const taken = createServer()
  t.teardown(() => taken.close())
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  lab.settings({ admin: { address: `127.0.0.1:${port}` } })
  const { stdout } = await lab.upgrade()
  await ended(lab, old)
  t.equal(lab.pid(), old, 'only the old one has ever been ready')
  t.match(stdout, `process ${readFileSync(path, 'utf8').trim()} serves`)
  taken.close()
  await readUntil(
    async () => lab.pid(),
    pid => pid !== old,
    60_000,
  )
  t.equal(readFileSync(path, 'utf8'), `${lab.pid()}\n`)
})

await test('an upgrade that fails leaves it as it is', async t => {
  const path = join(shortFolder(t), 'proxy.pid')
  const lab = await upgradeWorld(t, { args: ['--pid-file', path] })
  const read = readAllTheTime(t, path)
  lab.settings({ tenants: [{ id: 'Not An Id' }] })
  t.equal((await lab.upgrade()).code, 2)
  lab.settings({ listeners: [{ name: 'public', mode: 'shared', address: '192.0.2.1:80' }] })
  t.equal((await lab.upgrade()).code, 1)
  t.same((await read()).seen, [`${lab.pid()}\n`])
})

await test('one at another place names the new version as well, and the one of before is not left behind', async t => {
  const folder = shortFolder(t)
  const [before, since] = [join(folder, 'before.pid'), join(folder, 'since.pid')]
  const lab = await upgradeWorld(t, { args: ['--pid-file', before] })
  const old = lab.pid()
  const file = join(lab.folder, 'proxy.yaml')
  const asked = await runAmt(['proxy', '--config', file, '--pid-file', since, '--upgrade'])
  t.equal(asked.code, 0, asked.stderr)
  await readUntil(
    async () => lab.pid(),
    pid => pid !== old,
    60_000,
  )
  await ended(lab, old)
  for (const path of [before, since]) t.equal(readFileSync(path, 'utf8'), `${lab.pid()}\n`)
  process.kill(lab.pid(), 'SIGTERM')
  await ended(lab, lab.pid())
  await readUntil(
    async () => [before, since].some(path => existsSync(path)),
    there => !there,
  )
  for (const path of [before, since]) t.notOk(existsSync(path))
})
