import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { type Test, test } from 'tap'
import type { ChildOptions } from '../../src/cli/up/child.ts'
import type { Parts } from '../../src/cli/up/parts.ts'
import { createTogether, type Together } from '../../src/cli/up/together.ts'
import { freePorts } from '../support/free-ports.ts'

/** A part that serves its process id, and tells in `order` when it begins and ends. */
const PART = `
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
const [name, port, order] = process.argv.slice(2)
const tell = what => appendFileSync(order, name + ' ' + what + '\\n')
const server = createServer((request, response) => {
  if (request.url === '/crash') process.exit(7)
  response.end(String(process.pid))
})
server.listen(Number(port), '127.0.0.1', () => tell('serves'))
process.on('SIGHUP', () => tell('reloads'))
process.on('SIGTERM', () => {
  tell('ends')
  server.close()
  server.closeAllConnections()
})
`
const FAILING = `console.error('no luck today'); process.exit(3)`
const STUBBORN = `${PART}; process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {})`

interface Setup {
  readonly together: Together
  readonly lines: string[]
  /** Fulfilled when a line was said that holds `text`. */
  readonly said: (text: string) => Promise<void>
  readonly order: () => Promise<string[]>
  readonly url: (name: string) => string
}

interface SetupOptions {
  readonly programs?: Record<string, string>
  readonly stopMs?: number
}

async function setUp(
  t: Test,
  { programs = {}, stopMs = 20_000 }: SetupOptions = {},
): Promise<Setup> {
  const dir = t.testdir({ 'part.mjs': PART, 'failing.mjs': FAILING, 'stubborn.mjs': STUBBORN })
  const names = ['notes-acme', 'notes-globex', 'mixer', 'proxy'] as const
  const ports = await freePorts(names.length)
  const url = (name: string): string =>
    `http://127.0.0.1:${ports[names.findIndex(known => known === name)]}`
  const order = join(dir, 'order')
  const part = (name: (typeof names)[number]): ChildOptions => ({
    name,
    args: [join(dir, programs[name] ?? 'part.mjs'), name, new URL(url(name)).port, order],
    env: process.env,
    cwd: dir,
    log: join(dir, `${name}.log`),
    readyUrl: url(name),
    stopMs,
  })
  const parts: Parts = {
    deployments: [part('notes-acme'), part('notes-globex')],
    mixer: part('mixer'),
    proxy: part('proxy'),
    addresses: [],
  }
  const lines: string[] = []
  const waiting = new Map<string, () => void>()
  const together = createTogether(parts, line => {
    lines.push(line)
    for (const [text, resolve] of waiting) if (line.includes(text)) resolve()
  })
  t.teardown(() => together.stop())
  const said = (text: string): Promise<void> => new Promise(resolve => waiting.set(text, resolve))
  const read = async (): Promise<string[]> => (await readFile(order, 'utf8')).trim().split('\n')
  return { together, lines, said, order: read, url }
}

async function pidAt(url: string): Promise<string> {
  return (await fetch(url)).text()
}

async function isFree(url: string): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(Number(new URL(url).port), '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

await test('the proxy starts last and ends first, the deployments end last', async t => {
  const { together, order, lines } = await setUp(t)
  await together.start()
  t.equal((await order()).at(-1), 'proxy serves')
  t.equal((await order()).length, 4)
  await together.stop()
  const ends = (await order()).slice(4)
  t.same(ends.slice(0, 2), ['proxy ends', 'mixer ends'])
  t.same(new Set(ends.slice(2)), new Set(['notes-acme ends', 'notes-globex ends']))
  t.same(lines, [], 'a quiet terminal')
})

await test('a part that dies is started again and the others are left alone', async t => {
  const { together, said, url, lines } = await setUp(t)
  await together.start()
  const before = await pidAt(url('mixer'))
  const proxy = await pidAt(url('proxy'))
  const announced = said('mixer ended')
  await t.rejects(fetch(`${url('mixer')}/crash`))
  await announced
  t.match(
    lines[0],
    /^mixer ended \(exit code 7\); it starts again in 0\.5 s; its log: .*mixer\.log$/,
  )
  await said('mixer runs again')
  t.not(await pidAt(url('mixer')), before)
  t.equal(await pidAt(url('proxy')), proxy)
})

await test('the pause before a restart grows', async t => {
  const { together, said, url, lines } = await setUp(t)
  await together.start()
  for (const seconds of ['0.5', '1', '2']) {
    const announced = said(`starts again in ${seconds} s`)
    const again = said('proxy runs again')
    await t.rejects(fetch(`${url('proxy')}/crash`))
    await announced
    if (seconds !== '2') await again
  }
  await together.stop()
  t.equal(lines.filter(line => line.startsWith('proxy ended')).length, 3)
})

await test('when one does not start, all are stopped and its last words are told', async t => {
  for (const failing of ['proxy', 'notes-globex']) {
    const { together, url } = await setUp(t, { programs: { [failing]: 'failing.mjs' } })
    const error = await together.start().then(
      () => new Error('it started'),
      (caught: unknown) => caught,
    )
    t.match(error, {
      message: new RegExp(
        `^${failing} ended at once \\(exit code 3\\); its log: .*\\n  no luck today$`,
      ),
    })
    for (const name of ['notes-acme', 'mixer', 'proxy'])
      t.ok(await isFree(url(name)), `${name} is gone`)
  }
})

await test('stopping while it starts ends what has been started', async t => {
  const { together, url } = await setUp(t)
  const started = together.start()
  await Promise.all([t.rejects(started), together.stop()])
  for (const name of ['notes-acme', 'mixer', 'proxy']) t.ok(await isFree(url(name)), name)
})

await test('a part that does not end in time is ended by force', async t => {
  const { together, url } = await setUp(t, { programs: { mixer: 'stubborn.mjs' }, stopMs: 200 })
  await together.start()
  await together.stop()
  t.ok(await isFree(url('mixer')))
})

await test('a reload reaches the proxy alone', async t => {
  const { together, order, url } = await setUp(t)
  await together.start()
  together.reload()
  await pidAt(url('proxy'))
  await together.stop()
  t.same(
    (await order()).filter(line => line.endsWith('reloads')),
    ['proxy reloads'],
  )
})

await test('children end with a parent that was killed', async t => {
  const guard = join(import.meta.dirname, '..', '..', 'src', 'cli', 'up', 'exit-with-parent.ts')
  const dir = t.testdir({
    'child.mjs': `setInterval(() => {}, 1000); console.log('child ' + process.pid)`,
    'parent.mjs': `
      import { spawn } from 'node:child_process'
      const args = ['--import', ${JSON.stringify(pathToFileURL(guard).href)}, 'child.mjs']
      spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })`,
  })
  const parent = spawn(process.execPath, ['parent.mjs'], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = createInterface(parent.stdout)
  const [line]: string[] = await once(output, 'line')
  t.match(line, /^child \d+$/)
  const closed = once(output, 'close') // when the child, which holds the pipe as well, is gone
  parent.kill('SIGKILL')
  await closed
  t.pass('the child has ended')
})
