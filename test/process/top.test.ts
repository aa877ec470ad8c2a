/** `amt top` as it is used: at a terminal, over a line that breaks, in scripts, and against a real primary. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Test, t, test } from 'tap'
import { type Top, topSchema } from '../../src/contracts/top.ts'
import { AMT, runAmt } from '../support/amt.ts'
import { runCommand } from '../support/program.ts'
import { Pty, skipWithoutPty } from '../support/pty.ts'
import { readUntil } from '../support/running-amt.ts'
import { StartedPrimary, tenantEntry } from '../support/start-primary.ts'
import { topAnswer, topTenant } from '../support/top.ts'

t.setTimeout(240_000)

const skip = skipWithoutPty
const ENTERED = '\x1b[?1049h\x1b[?25l'
const LEFT = '\x1b[?25h\x1b[?1049l'

interface FakeAdmin {
  readonly url: string
  /** What was asked, the newest last. */
  readonly asked: URLSearchParams[]
  readonly server: Server
}

/** An admin server with 60 tenants that sorts and filters as the real one does, as far as that matters here. */
async function startAdmin(t: Test): Promise<FakeAdmin> {
  const all = Array.from({ length: 60 }, (_, index) =>
    topTenant(`tenant-${String(index).padStart(2, '0')}`, { calls: 100 - index, errors: index }),
  )
  const asked: URLSearchParams[] = []
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://admin')
    asked.push(searchParams)
    const found = all.filter(({ tenant }) => tenant.includes(searchParams.get('filter') ?? ''))
    const sorted = searchParams.get('by') === 'errors' ? found.toReversed() : found
    const answer = topAnswer(sorted.slice(0, Number(searchParams.get('limit'))), {
      tenants: { configured: 60, active: 60, matching: found.length },
    })
    response.end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, asked, server }
}

/** Runs it between two looks at the settings of the terminal, which must be the same; tells its process and its exit code. */
function atTerminal(admin: FakeAdmin): string {
  const run = `sh -c 'echo "pid $$"; exec "$@"' sh ${AMT} top --admin ${admin.url} --interval 200ms`
  return `before=$(stty -g); ${run}; code=$?; [ "$(stty -g)" = "$before" ] && echo "restored, exit $code" || echo "changed, exit $code"`
}

/** The end of a terminal at which it was quit. */
async function endOf(pty: Pty): Promise<string> {
  return pty.says(/(restored|changed), exit \d+/)
}

function pidOf(pty: Pty): number {
  return Number(/pid (\d+)/.exec(pty.output)?.[1])
}

await test('at a terminal of 80 columns: sorted, filtered and scrolled by keys, quit by q', {
  skip,
}, async t => {
  const admin = await startAdmin(t)
  const pty = new Pty(t, atTerminal(admin))
  const first = await pty.shows(/tenant-19/)
  const picture = pty.picture()
  t.ok(picture.length <= 24 && picture.every(line => line.length <= 80), 'it fits')
  t.match(picture[0], /^orders: ready, 2 of 2 workers, 60 of 60 tenants active/)
  t.match(picture[3], /^ TENANT +CALLS\/S/)
  t.match(picture[4], /^ tenant-00 +100 /)
  t.notMatch(first, /tenant-20/, 'as many as there is room for')

  pty.press('e')
  t.match(await pty.shows(/by errors/), /by errors/)
  t.match(await pty.shows(/tenant-59/), /\n tenant-59 +41 +59 /)
  pty.press('/tenant-0')
  t.match(await pty.shows(/tenants with: tenant-0_/), /tenants with: tenant-0_/)
  pty.press('\r')
  t.match(await pty.shows(/with "tenant-0": 10/), /\n tenant-09 [^]*\n tenant-00 /)
  pty.press('\x1b')
  await pty.shows(/tenant-59/)
  pty.press('c\x1b[6~')
  t.match(await pty.shows(/\n tenant-20 /), /from 21 /)
  pty.press('h')
  t.match(await pty.shows(/PgUp/), /this help/)
  pty.press('q')
  t.match(await endOf(pty), /restored, exit 0/)
  t.equal(pty.output.indexOf(LEFT) > pty.output.indexOf(ENTERED), true, 'the screen before is back')
})

await test('it follows the size of its terminal', { skip }, async t => {
  const admin = await startAdmin(t)
  const pty = new Pty(t, `tty; ${atTerminal(admin)}`)
  await pty.shows(/tenant-19/)
  const tty = /\/dev\/pts\/\d+/.exec(pty.output)?.[0] ?? ''
  // One after the other, each drawn: the rows first, so that what has the new columns has both.
  await runCommand(['stty', ['-F', tty, 'rows', '10', 'cols', '120']])
  const text = await pty.shows(/ UP +\n/)
  t.match(text, /LIMIT +OF +UP +\n/)
  t.equal(pty.picture().length, 10)
  t.ok(pty.picture().every(line => line.length <= 120))
  pty.press('\x03')
  t.match(await endOf(pty), /restored, exit 0/, 'Ctrl-C quits')
})

await test('space stops and goes on; a proxy that is away is said, and found again', {
  skip,
}, async t => {
  const admin = await startAdmin(t)
  const { port } = admin.server.address() as AddressInfo
  const pty = new Pty(t, atTerminal(admin))
  await pty.shows(/tenant-19/)
  pty.press(' ')
  await pty.shows(/STOPPED/)
  const before = admin.asked.length
  pty.press('h')
  await pty.shows(/this help/)
  pty.press(' ')
  await pty.shows(/by calls \(c\)  h help/)
  await readUntil(
    async () => admin.asked.length,
    count => count > before,
  )
  pty.press('h')
  admin.server.close()
  admin.server.closeAllConnections()
  t.match(await pty.shows(/ECONNREFUSED/), /^! http:\/\/127[^]*tenant-00/m, 'with what was known')
  admin.server.listen(port, '127.0.0.1')
  t.match(await pty.shows(/by calls/), /by calls/)
  pty.press('q')
  t.match(await endOf(pty), /restored, exit 0/)
})

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  await test(`the terminal is as before after ${signal}`, { skip }, async t => {
    const pty = new Pty(t, atTerminal(await startAdmin(t)))
    await pty.shows(/tenant-19/)
    process.kill(pidOf(pty), signal)
    t.match(await endOf(pty), /restored, exit 0/)
    t.ok(pty.output.includes(LEFT))
  })
}

await test('the terminal is as before after a crash, and what went wrong can be read on it', {
  skip,
}, async t => {
  const admin = await startAdmin(t)
  const file = join(t.testdir(), 'crash.mjs')
  await writeFile(file, "process.on('SIGUSR2', () => { throw new Error('made up') })\n")
  const pty = new Pty(t, `export NODE_OPTIONS=--import=${file}; ${atTerminal(admin)}`)
  await pty.shows(/tenant-19/)
  process.kill(pidOf(pty), 'SIGUSR2')
  t.match(await endOf(pty), /restored, exit [1-9]/)
  t.match(pty.output.slice(pty.output.indexOf(LEFT)), /made up/)
})

await test('Ctrl-Z gives the terminal to the shell, fg takes it again', { skip }, async t => {
  const admin = await startAdmin(t)
  const pty = new Pty(t, 'exec sh -i', { PS1: 'prompt> ' })
  await pty.says(/prompt> /)
  pty.press(`${AMT} top --admin ${admin.url} --interval 200ms\n`)
  await pty.shows(/tenant-19/)
  pty.press('\x1a')
  await readUntil(async () => pty.output.endsWith('prompt> '), Boolean, 30_000)
  t.ok(pty.output.includes(LEFT))
  const length = pty.output.length
  pty.press('fg\n')
  await readUntil(
    async () => pty.output.slice(length),
    text => text.includes(ENTERED) && text.includes('tenant-19'),
    30_000,
  )
  t.ok(pty.output.slice(length).includes(ENTERED), 'it is back')
  pty.press('q')
  await readUntil(async () => pty.output.endsWith('prompt> '), Boolean, 30_000)
  pty.press('exit\n')
  await pty.ended
})

await test('--once prints plain lines with whole names, --json what was answered, of a real primary', async t => {
  const long = 'a-tenant-whose-name-goes-on-until-there-is-no-room-any-more-x63'
  const tenants = [
    { ...tenantEntry('acme'), limits: { requests: '1/s' } },
    tenantEntry(long),
    tenantEntry('idle'),
  ]
  const primary = new StartedPrimary(t, { config: { tenants } })
  const client = await primary.client()
  // Open connections, since calls are forgotten while a busy machine starts a program.
  await client.ask('open acme')
  await client.ask(`open ${long}`)
  const admin = ['--admin', await primary.adminUrl()]
  const json = async (...more: string[]): Promise<Top> => {
    const { code, stdout } = await runAmt(['top', ...admin, '--json', ...more])
    t.equal(code, 0)
    return topSchema.parse(JSON.parse(stdout))
  }
  const read = await json()
  t.match(read, {
    service: 'amt',
    phase: 'ready',
    workers: { ready: 1, count: 1 },
    tenants: { configured: 3, active: 2, matching: 2 },
    top: [
      { tenant: long, connections: 1 },
      { tenant: 'acme', connections: 1 },
    ],
  })
  t.same(
    (await json('--by', 'tenant', '--filter', 'goes-on')).top.map(({ tenant }) => tenant),
    [long],
  )

  const { code, stdout, stderr } = await runAmt(['top', ...admin, '--once', '--lines', '1'])
  t.match({ code, stderr }, { code: 0, stderr: '' })
  t.notOk(stdout.includes('\x1b'), 'no orders to a terminal')
  t.match(stdout, new RegExp(`^ TENANT .*\\n ${long} .*\\n$`, 'm'))
  const piped = await runAmt(['top', ...admin])
  t.match(
    piped.stdout,
    new RegExp(`^ ${long} `, 'm'),
    'an output that is no terminal is printed once',
  )
})

await test('what cannot be asked, or is no option, is said', async t => {
  const away = await runAmt(['top', '--once', '--admin', 'http://127.0.0.1:9'])
  t.match(away, {
    code: 1,
    stdout: '',
    stderr: /^amt top: the proxy cannot be asked at http:\/\/127\.0\.0\.1:9: /,
  })
  const strange = createServer((_, response) => response.end('{}')).listen(0, '127.0.0.1')
  await once(strange, 'listening')
  t.teardown(() => strange.close())
  const { port } = strange.address() as AddressInfo
  const other = await runAmt(['top', '--once', '--admin', `http://127.0.0.1:${port}`])
  t.match(other, { code: 1, stderr: /not as the admin server of a proxy does/ })
  for (const args of [
    ['--by', 'beauty'],
    ['--filter', 'A_B'],
    ['--interval', '1ms'],
    ['--lines', '0'],
    ['--admin', 'ftp://x'],
  ]) {
    const { code, stderr } = await runAmt(['top', ...args])
    t.equal(code, 2, args.join(' '))
    t.match(stderr, /^error: option/, stderr)
  }
})
