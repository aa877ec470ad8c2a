/**
 * `npm run bench:tokens`: what tokens cost a worker, with one issuer and with thousands of them, and what a flood of bad
 * ones does to those who send good ones. The proxy is a process of its own; load and deployment are this one. Tokens are
 * made beforehand. Correctness is asserted: a run with one wrong answer has no result.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { encode } from '../test/support/forged-token.ts'
import { freePorts } from '../test/support/free-ports.ts'
import { sign, signingKey } from '../test/support/token-issuer.ts'
import { describeMachine } from './harness/machine.ts'
import { childrenOf, cpuSeconds, residentBytes } from './harness/process-stat.ts'
import { PROXY_CPU, Program, pinSelf } from './harness/program.ts'
import { TokenCaller } from './loads/tokens.ts'

const ROOT = join(import.meta.dirname, '..')
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
/** Good tokens come from the one, the flood from the other. */
const GOOD = '127.0.0.2'
const BAD = '127.0.0.3'

interface Options {
  readonly issuers: number
  readonly tokens: number
  readonly connections: number
  readonly rate: number
}

interface Bench extends Options {
  readonly key: ReturnType<typeof signingKey>
  readonly upstream: number
  readonly folder: string
}

await new Command('bench:tokens')
  .description('measures what tokens cost with many issuers, and under a flood of bad ones')
  .option('--issuers <number>', 'each of a tenant of its own', positive, 10_000)
  .option('--tokens <number>', 'new ones of each kind', positive, 4_000)
  .option('--connections <number>', 'of the flood', positive, 64)
  .option('--rate <number>', 'calls of the flood a second', positive, 2_000)
  .action(run)
  .parseAsync()

async function run(options: Options): Promise<void> {
  pinSelf()
  process.stdout.write(`${JSON.stringify(describeMachine())}\n`)
  const folder = mkdtempSync(join(tmpdir(), 'amt-tokens-'))
  const deployment = createServer(answer).listen(0, '127.0.0.1')
  await once(deployment, 'listening')
  const bench = { ...options, key: signingKey('k1'), upstream: portOf(deployment), folder }
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [bench.key.jwk] }))
  try {
    for (const issuers of new Set([1, options.issuers])) await measure(bench, issuers)
  } finally {
    deployment.close()
    rmSync(folder, { recursive: true })
  }
}

async function measure(bench: Bench, issuers: number): Promise<void> {
  const { tokens, connections } = bench
  const { program, port } = await startProxy(bench, issuers)
  const workers = childrenOf(program.pid)
  const call = { port, from: GOOD, connections: 4 }
  const caller = await TokenCaller.open(call)
  const flood = await TokenCaller.open({ port, from: BAD, connections })
  const say = (what: string, figures: string): void => {
    process.stdout.write(`${String(issuers).padStart(6)} issuers  ${what.padEnd(28)} ${figures}\n`)
  }
  const costOf = async (what: string, sent: readonly string[]): Promise<void> => {
    const before = cpuSeconds(workers)
    const { statuses, p50, p99 } = await caller.send(sent, 200)
    const us = ((cpuSeconds(workers) - before) * 1e6) / statuses.get(200)!
    say(what, `${us.toFixed(1)} µs CPU a call, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms`)
  }
  say('started', `${(residentBytes(workers) / 2 ** 20).toFixed(1)} MiB resident`)
  const known = await goodTokens(bench, 1, 'known')
  const repeated = Array.from({ length: tokens * 4 }, () => known[0] as string)
  await costOf('a known token (warm-up)', repeated)
  await costOf('a known token', repeated)
  await costOf('new tokens', await goodTokens(bench, tokens, 'new'))
  const quiet = await caller.send(await goodTokens(bench, tokens, 'quiet'), 200)
  const running = flood.sendUntilStopped(badTokens(tokens * 20), bench.rate)
  const loud = await caller.send(await goodTokens(bench, tokens, 'loud'), 200)
  flood.stop()
  const { statuses } = await running
  say(
    'new tokens, no flood',
    `p50 ${quiet.p50.toFixed(2)} ms, p99 ${quiet.p99.toFixed(2)} ms, ${quiet.statuses.get(200)} good`,
  )
  say(
    'new tokens, under a flood',
    `p50 ${loud.p50.toFixed(2)} ms, p99 ${loud.p99.toFixed(2)} ms, ${loud.statuses.get(200)} good`,
  )
  say('the flood got', [...statuses].map(([status, count]) => `${status}: ${count}`).join(', '))
  caller.close()
  flood.close()
  await program.stop()
}

async function startProxy(
  { folder, upstream }: Bench,
  issuers: number,
): Promise<{ program: Program; port: number }> {
  const [port = 0, mixer = 0, admin = 0] = await freePorts(3)
  const tenant = (i: number): string =>
    JSON.stringify({
      id: `t-${i}`,
      jwt: [
        { issuer: `https://${i}.example`, audiences: ['orders'], jwks: join(folder, 'jwks.json') },
      ],
      deployment: { endpoints: [`http://127.0.0.1:${upstream}`] },
    })
  writeFileSync(
    join(folder, 'tenants.jsonl'),
    Array.from({ length: issuers }, (_, i) => `${tenant(i)}\n`).join(''),
  )
  const config = {
    listeners: [{ name: 'public', mode: 'shared', protocol: 'http', address: `0.0.0.0:${port}` }],
    tenantSources: [{ file: 'tenants.jsonl' }],
    limits: { concurrency: 100_000 },
    // What the flood costs is measured, not what it costs once its connections are ended.
    sources: { badCredentials: 'off' },
    mixer: {
      token: 'token-of-the-benchmark',
      url: `http://127.0.0.1:${mixer}`,
      journal: 'journal',
    },
    admin: { address: `127.0.0.1:${admin}` },
    log: { access: 'off' },
  }
  const file = join(folder, 'amt.yaml')
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const program = new Program('amt proxy', PROXY_CPU, [
    join(ROOT, 'bin/amt'),
    'proxy',
    '--config',
    file,
    '--workers',
    '1',
  ])
  await program.says(/"msg":"ready"/)
  return { program, port }
}

/** Of the first issuer, each with an id of its own. */
async function goodTokens({ key }: Bench, count: number, name: string): Promise<string[]> {
  const exp = Math.floor(Date.now() / 1_000) + 3_600
  return Promise.all(
    Array.from({ length: count }, (_, i) =>
      sign(key, { iss: 'https://0.example', exp, jti: `${name}-${i}-${Math.random()}` }),
    ),
  )
}

/** Of the same issuer and with its key's id, with signatures of nobody. */
function badTokens(count: number): string[] {
  const exp = Math.floor(Date.now() / 1_000) + 3_600
  const header = encode('{"alg":"ES256","kid":"k1"}')
  return Array.from({ length: count }, (_, i) => {
    const claims = { iss: 'https://0.example', aud: 'orders', exp, jti: `bad-${i}` }
    const signature = Buffer.alloc(64, (i % 250) + 1).toString('base64url')
    return `${header}.${encode(JSON.stringify(claims))}.${signature}`
  })
}

/** One answer for each head; calls have no bodies here. */
function answer(socket: Socket): void {
  let text = ''
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    const heads = (text + chunk.toString('latin1')).split('\r\n\r\n')
    text = heads.pop() ?? ''
    if (heads.length > 0) socket.write(ANSWER.repeat(heads.length))
  })
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function positive(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new InvalidArgumentError('a whole number from 1')
  return number
}
