import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { type Test, t, test } from 'tap'
import { amtCommand, runAmt } from '../support/amt.ts'
import { freePorts } from '../support/free-ports.ts'

// Many whole programs are started, on a machine that may be busy.
t.setTimeout(300_000)

const EXAMPLE = join(import.meta.dirname, '..', '..', 'config.example.yaml')
/** Ports of config.example.yaml, which tests replace: another `amt up` may run on this machine. */
const EXAMPLE_PORTS = {
  public: 8443,
  plain: 8080,
  private: 7070,
  mixer: 9092,
  admin: 9901,
  acme: 9101,
  globex: 9102,
}
type Ports = Record<keyof typeof EXAMPLE_PORTS, number>

interface Folder {
  readonly cwd: string
  readonly ports: Ports
}

/** A folder with a copy of the example configuration on ports of its own. */
async function makeFolder(t: Test): Promise<Folder> {
  const names = Object.keys(EXAMPLE_PORTS)
  const free = await freePorts(names.length)
  const ports = {
    ...EXAMPLE_PORTS,
    ...Object.fromEntries(names.map((name, i) => [name, free[i] ?? 0])),
  }
  let text = await readFile(EXAMPLE, 'utf8')
  for (const [name, port] of Object.entries(EXAMPLE_PORTS)) {
    text = text.replaceAll(
      new RegExp(`(?<=[:\\s])${port}\\b`, 'g'),
      String(ports[name as keyof Ports]),
    )
  }
  const cwd = t.testdir()
  await writeFile(join(cwd, 'amt.yaml'), text.replace(/^( +drain:) \S+/m, '$1 5s'))
  return { cwd, ports }
}

interface Up {
  /** Lines of stdout until now. */
  readonly lines: string[]
  /** Fulfilled when a line that holds `text` has been printed. */
  readonly printed: (text: string) => Promise<void>
  /** Fulfilled with the exit code, -1 after a signal, when it has ended. */
  readonly ended: Promise<number>
  readonly errors: () => string
  readonly signal: (signal: NodeJS.Signals) => void
}

function startUp(t: Test, { cwd }: Folder): Up {
  const args = ['up', '--config', 'amt.yaml', '--samples', '--state', 'state', '--workers', '1']
  const up = spawn(...amtCommand(args), { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(up, 'close').then(([code]: (number | null)[]) => code ?? -1)
  t.teardown(async () => {
    up.kill('SIGTERM')
    await ended
  })
  const lines: string[] = []
  const waiting = new Map<string, () => void>()
  createInterface(up.stdout).on('line', line => {
    lines.push(line)
    for (const [text, resolve] of waiting) if (line.includes(text)) resolve()
  })
  const errors: string[] = []
  up.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text))
  return {
    lines,
    printed: async text => {
      if (lines.some(line => line.includes(text))) return
      const found = new Promise<void>(resolve => waiting.set(text, resolve))
      const early = ended.then(code => {
        throw new Error(`ended with ${code}: ${errors.join('')}`)
      })
      await Promise.race([found, early])
    },
    ended,
    errors: () => errors.join(''),
    signal: name => up.kill(name),
  }
}

/** The commands that were printed, by the first word or two of what is said of them. */
function printedCommands(lines: readonly string[]): Map<string, string> {
  const titled = lines.flatMap((line, i) => {
    const title = /^# ([^:]*)/.exec(line)?.[1]
    return title === undefined ? [] : [[title, lines[i + 1] ?? ''] as const]
  })
  return new Map(titled)
}

async function paste(cwd: string, command: string | undefined): Promise<string> {
  const { stdout } = await promisify(execFile)('bash', ['-c', command ?? 'exit 9'], {
    cwd,
    timeout: 30_000,
  })
  return stdout
}

/** Usage is in the ledger within two seconds; so it is asked for until all calls are there. */
async function pasteUntil(
  cwd: string,
  command: string | undefined,
  wanted: RegExp,
): Promise<string> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const output = await paste(cwd, command)
    if (wanted.test(output) || Date.now() > deadline) return output
  }
}

async function secretsOf(cwd: string): Promise<Record<string, string>> {
  const state = join(cwd, 'state')
  const names = await readdir(state, { withFileTypes: true })
  const kept = names.filter(entry => entry.isFile() && !/^ledger|\.jwt$/.test(entry.name))
  const digests = kept.map(async ({ name }) => {
    const digest = createHash('sha256').update(await readFile(join(state, name)))
    return [name, digest.digest('hex')] as const
  })
  return Object.fromEntries(await Promise.all(digests))
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

/** The parts of a killed `amt up` end in good order, each in its own time. */
async function becomesFree(port: number): Promise<boolean> {
  const deadline = Date.now() + 20_000
  while (!(await isFree(port))) if (Date.now() > deadline) return false
  return true
}

await test('every printed command works as printed, and a restart keeps notes, ledger and keys', async t => {
  const folder = await makeFolder(t)
  const { cwd, ports } = folder
  const first = startUp(t, folder)
  await first.printed('Ctrl-C')
  const commands = printedCommands(first.lines)
  t.same(Array.from(commands.keys()), [
    'JWT',
    'API key',
    'client certificate',
    'private address',
    'unroutable',
    'usage',
  ])
  t.match(JSON.parse(await paste(cwd, commands.get('JWT'))), { text: 'Hello from acme' })
  const hello = { count: 1, notes: [{ text: 'Hello from acme' }] }
  t.match(JSON.parse(await paste(cwd, commands.get('API key'))), hello)
  t.match(JSON.parse(await paste(cwd, commands.get('client certificate'))), { count: 0, notes: [] })
  t.match(JSON.parse(await paste(cwd, commands.get('private address'))), hello)
  const refusal = await paste(cwd, commands.get('unroutable'))
  t.match(refusal, /^HTTP\/(1\.1|2) 401 /)
  t.match(refusal, '"type":"about:amt/unroutable"')
  const usage = await pasteUntil(cwd, commands.get('usage'), /acme\s+3\b[^]*globex\s+1\b/)
  t.match(
    usage,
    /acme\s+3\b[^]*globex\s+1\b/,
    'three calls of acme, one of globex, none of the refused one',
  )

  const before = await secretsOf(cwd)
  first.signal('SIGTERM')
  t.equal(await first.ended, 0, first.errors())
  for (const [name, port] of Object.entries(ports))
    t.ok(await isFree(port), `${name} is free again`)

  const second = startUp(t, folder)
  await second.printed('Ctrl-C')
  t.same(await secretsOf(cwd), before)
  const again = printedCommands(second.lines)
  t.same(again, commands)
  t.match(JSON.parse(await paste(cwd, again.get('private address'))), hello)
  t.match(await pasteUntil(cwd, again.get('usage'), /acme\s+4\b/), /acme\s+4\b/)
  second.signal('SIGINT')
  t.equal(await second.ended, 0, second.errors())
})

await test('a mixer that is killed comes back, and no usage is lost by that', async t => {
  const folder = await makeFolder(t)
  const up = startUp(t, folder)
  await up.printed('Ctrl-C')
  const commands = printedCommands(up.lines)
  const log = await readFile(join(folder.cwd, 'state', 'logs', 'mixer.log'), 'utf8')
  process.kill(Number(/"pid":(\d+)/.exec(log)?.[1]), 'SIGKILL')
  await paste(folder.cwd, commands.get('JWT'))
  await up.printed('mixer ended (SIGKILL); it starts again')
  await up.printed('mixer runs again')
  t.match(await pasteUntil(folder.cwd, commands.get('usage'), /acme\s+1\b/), /acme\s+1\b/)
})

await test('when it is killed itself, nothing of it stays', async t => {
  const folder = await makeFolder(t)
  const up = startUp(t, folder)
  await up.printed('Ctrl-C')
  up.signal('SIGKILL')
  t.equal(await up.ended, -1)
  for (const [name, port] of Object.entries(folder.ports)) t.ok(await becomesFree(port), name)
  const again = startUp(t, folder)
  await again.printed('Ctrl-C')
})

await test('addresses in use are all named, and nothing is left running', async t => {
  const folder = await makeFolder(t)
  const occupied = [folder.ports.mixer, folder.ports.public]
  const servers = occupied.map(port => createServer().listen(port, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  const up = startUp(t, folder)
  t.equal(await up.ended, 1)
  t.match(
    up.errors(),
    `listener "public": 127.0.0.1:${folder.ports.public}: the address is already in use`,
  )
  t.match(up.errors(), `mixer: 127.0.0.1:${folder.ports.mixer}: the address is already in use`)
  t.ok(await isFree(folder.ports.acme))
  t.notMatch(up.lines.join('\n'), 'Ready')
  for (const server of servers) server.close()
})

await test('a wrong configuration ends with 2 and all its problems', async t => {
  const folder = await makeFolder(t)
  const file = join(folder.cwd, 'amt.yaml')
  const text = await readFile(file, 'utf8')
  await writeFile(
    file,
    text.replace('mode: shared', 'mode: sharde').replace('drain: 5s', 'drain: soon'),
  )
  const up = startUp(t, folder)
  t.equal(await up.ended, 2)
  t.match(up.errors(), /amt\.yaml:\d+:\d+: listeners\[0\]\.mode: /)
  t.match(up.errors(), /amt\.yaml:\d+:\d+: timeouts\.drain: /)
})

await test('--prepare makes the state in the current directory once, and ends', async t => {
  const cwd = t.testdir()
  const first = await runAmt(['up', '--prepare'], { cwd, env: { AMT_STATE: '' } })
  t.equal(first.code, 0, first.stderr)
  const made = await secretsOf(cwd)
  const base = [
    'ca.crt',
    'ca.key',
    'jwks.json',
    'jwt.key',
    'mixer.token',
    'server.crt',
    'server.key',
  ]
  const perTenant = ['acme', 'globex'].flatMap(id =>
    ['apikey', 'apikey.sha256', 'crt', 'key', 'p12'].map(ending => `${id}.${ending}`),
  )
  t.same(Object.keys(made).toSorted(), [...base, ...perTenant].toSorted())
  const digest = await readFile(join(cwd, 'state', 'acme.apikey.sha256'), 'utf8')
  const key = (await readFile(join(cwd, 'state', 'acme.apikey'), 'utf8')).trim()
  t.equal(digest, `sha256:${createHash('sha256').update(key).digest('hex')}\n`)

  const second = await runAmt(['up', '--prepare'], { cwd, env: { AMT_STATE: '' } })
  t.match(second.stdout, 'State in state: all there.')
  t.same(await secretsOf(cwd), made)
  const check = await runAmt(['check', EXAMPLE], { cwd, env: { AMT_STATE: join(cwd, 'state') } })
  t.equal(check.code, 0, 'it is what the example configuration needs')
})
