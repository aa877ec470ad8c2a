/**
 * Programs that others wrote, on both ends of one AMT with everything side by side: curl, nghttp, h2load, Node's own client
 * and Chromium, and nghttpd, nginx and Node behind it. Each call is answered by its own tenant's deployment, and counted.
 */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type Test, t, test } from 'tap'
import { newApiKey } from '../../src/cli/commands/key.ts'
import { startNginx, WITHOUT_NGINX } from '../support/balancer.ts'
import { TestAuthority } from '../support/certificates.ts'
import { curl } from '../support/curl.ts'
import { freePorts } from '../support/free-ports.ts'
import { wholeBody } from '../support/http2/call.ts'
import { startNghttpd, WITHOUT_NGHTTP } from '../support/http2/nghttpd.ts'
import { type CommandResult, runCommand, skipWithout } from '../support/program.ts'
import { type RunningAmt, readUntil, startAmt } from '../support/running-amt.ts'

// Whole servers are started, on a machine that may be busy.
t.setTimeout(240_000)

const WITHOUT_CHROMIUM = skipWithout({ chromium: 'chromium' })
const CALLS = 2_000

interface World {
  readonly amt: RunningAmt
  readonly ca: TestAuthority
  readonly keys: Readonly<Record<string, string>>
}

/** Tenants at these endpoints, each with a key and with the name `ID.test`. */
async function world(
  t: Test,
  ca: TestAuthority,
  endpoints: Readonly<Record<string, string>>,
): Promise<World> {
  const ids = Object.keys(endpoints)
  const names = ids.map(id => `${id}.test`)
  const { certPath: cert, keyPath: key } = await ca.server(
    ['service.test', ...names],
    ['127.0.0.1'],
  )
  const keys = Object.fromEntries(ids.map(id => [id, newApiKey(id)]))
  const shared = { mode: 'shared', address: '127.0.0.1:0' }
  const folder = join(t.testdirName, 'amt')
  await mkdir(folder)
  const amt = await startAmt(t, folder, {
    listeners: [
      { ...shared, name: 'plain' },
      { ...shared, name: 'tls', tls: { certificates: [{ cert, key }] } },
    ],
    tenants: ids.map(id => ({
      id,
      hosts: [`${id}.test`],
      credentials: [{ apiKey: keys[id]?.digest }],
      deployment: { endpoints: [endpoints[id]], tls: { ca: ca.certPath } },
    })),
  })
  return { amt, ca, keys: Object.fromEntries(ids.map(id => [id, keys[id]?.key ?? ''])) }
}

/** A folder with a page that says whose it is. */
async function pagesOf(t: Test, id: string): Promise<string> {
  const folder = join(t.testdirName, `pages-${id}`)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'index.html'), `page of ${id}`)
  await writeFile(join(folder, 'big.bin'), Buffer.alloc(1_000_000, id))
  return folder
}

async function run(name: string, args: readonly string[]): Promise<CommandResult> {
  const result = await runCommand([name, args])
  if (result.code !== 0) throw new Error(`${name} ended with ${result.code}: ${result.stderr}`)
  return result
}

/** Which version of HTTP curl spoke for this call. */
async function versionOf(args: readonly string[]): Promise<string> {
  const quiet = ['--disable', '-sS', '-o', '/dev/null', '-w', '%{http_version}']
  return (await run('curl', [...quiet, ...args])).stdout.toString()
}

await test('curl, nghttp and h2load, with nghttpd, nginx and Node behind AMT', {
  skip: WITHOUT_NGHTTP || WITHOUT_NGINX,
}, async t => {
  const ca = await TestAuthority.create(t)
  t.testdir()
  const certificate = await ca.server(['127.0.0.1'], ['127.0.0.1'])
  const here = await world(t, ca, {
    secure: await startNghttpd(t, await pagesOf(t, 'secure'), certificate),
    clear: await startNghttpd(t, await pagesOf(t, 'clear')),
    old: await startNginxPages(t, await pagesOf(t, 'old')),
    nginx: await startNginxPages(t, await pagesOf(t, 'nginx'), 'http2'),
  })
  const ids = Object.keys(here.keys)
  const calls = Object.fromEntries(ids.map(id => [id, 0]))
  const count = (id: string, more = 1): void => {
    calls[id] = (calls[id] ?? 0) + more
  }
  const { port: plain } = here.amt.address('plain')
  const { port: tls } = here.amt.address('tls')
  const keyed = (id: string): string[] => ['-H', `x-api-key: ${here.keys[id]}`]
  const secure = ['--cacert', ca.certPath, '--connect-to', `service.test:443:127.0.0.1:${tls}`]

  await t.test(
    'curl, by ALPN and with prior knowledge, several tenants on one connection',
    async t => {
      // With prior knowledge curl 7.88 does not use a connection twice: its second call fails whatever the server is.
      const one = async (transfers: readonly (readonly string[])[]) =>
        (await Promise.all(transfers.map(async transfer => curl([transfer])))).flat()
      for (const [args, url, ask, made] of [
        [['--http2', ...secure], 'https://service.test', curl, '1,0,0,0'],
        [['--http2-prior-knowledge'], `http://127.0.0.1:${plain}`, one, '1,1,1,1'],
      ] as const) {
        const each = ids.map(id => [...args, ...keyed(id), `${url}/index.html`])
        const transfers = await ask(each)
        t.same(
          transfers.map(({ body }) => body),
          ids.map(id => `page of ${id}`),
        )
        t.same(transfers.map(({ connects }) => connects).join(), made)
        const big = await ask(ids.map(id => [...args, ...keyed(id), `${url}/big.bin`]))
        for (const [index, { body, status }] of big.entries()) {
          t.equal(status, 200)
          t.ok(Buffer.alloc(1_000_000, ids[index]).equals(Buffer.from(body, 'latin1')))
        }
        t.equal(await versionOf([...args, ...keyed('clear'), url]), '2')
        for (const id of ids) count(id, 2)
        count('clear')
      }
    },
  )

  await t.test('curl uploads to nghttpd, which sends it back with a trailer', async t => {
    const upload = 'some data '.repeat(50_000)
    for (const id of ['secure', 'clear']) {
      const args = ['--http2', ...secure, ...keyed(id), '--data-binary', '@-']
      const [back] = await curl([[...args, 'https://service.test/echo']], upload)
      t.equal(back?.body, upload)
      count(id)
    }
  })

  await t.test(
    'nghttp: several at once on one connection, with trailers, and no error',
    async t => {
      for (const id of ['secure', 'clear']) {
        const urls = ['/', '/index.html', '/big.bin'].map(
          path => `http://127.0.0.1:${plain}${path}`,
        )
        const { stdout } = await run('nghttp', [
          '-nv',
          '-H',
          `x-api-key: ${here.keys[id]}`,
          ...urls,
        ])
        const log = stdout.toString()
        t.equal(log.match(/:status: 200/g)?.length, 3)
        t.equal(log.match(/x-checksum: abc/g)?.length, 3)
        t.notMatch(log, /error_code=(?!NO_ERROR)/)
        t.notMatch(log, /x-amt-/)
        count(id, 3)
      }
    },
  )

  await t.test(`h2load: ${CALLS} calls over four connections, ten streams each`, async t => {
    for (const id of ids) {
      for (const url of [
        `http://127.0.0.1:${plain}/index.html`,
        `https://127.0.0.1:${tls}/index.html`,
      ]) {
        const args = [
          '-n',
          String(CALLS),
          '-c',
          '4',
          '-m',
          '10',
          '-H',
          `x-api-key: ${here.keys[id]}`,
        ]
        const { stdout } = await run('h2load', [...args, url])
        t.match(stdout.toString(), `${CALLS} succeeded, 0 failed, 0 errored, 0 timeout`, url)
        t.match(stdout.toString(), `status codes: ${CALLS} 2xx, 0 3xx, 0 4xx, 0 5xx`)
        count(id, CALLS)
      }
    }
  })

  await t.test('who has no key is refused, in the version that they speak', async t => {
    const [refused] = await curl([['--http2', ...secure, 'https://service.test/']])
    t.equal(refused?.status, 401)
    t.match(refused?.body, /about:amt\/unroutable/)
    t.equal(
      (await readUntil(here.amt.rejected, now => (now['unroutable'] ?? 0) > 0))['unroutable'],
      1,
    )
  })

  await t.test('the ledger holds every call of each', async t => {
    t.equal(await here.amt.drain(), 0)
    const ledger = await here.amt.ledger()
    for (const id of ids) t.equal(ledger[id]?.calls, calls[id], id)
  })
})

/** nginx with files; `http2` lets it take HTTP/2 with prior knowledge. */
async function startNginxPages(t: Test, folder: string, http2 = ''): Promise<string> {
  const [port = 0] = await freePorts(1)
  await startNginx(
    t,
    `server { listen 127.0.0.1:${port} ${http2}; location / { root ${folder}; } }`,
    [port],
  )
  return `${http2 === '' ? 'http' : 'h2c'}://127.0.0.1:${port}`
}

/** It counts as loaded once it has told what came of it: Chromium leaves then. */
const PAGE = `<!doctype html><title>page</title><img src=/loaded><script>
const [{ nextHopProtocol }] = performance.getEntriesByType('navigation')
const tell = text => fetch('/told', { method: 'POST', body: nextHopProtocol + ' ' + text })
const socket = new WebSocket('wss://' + location.host + '/socket')
socket.onopen = () => socket.send('hello')
socket.onmessage = ({ data }) => tell(data)
socket.onerror = () => tell('no socket')
</script>`

interface Page {
  readonly endpoint: string
  /** What it has told. */
  readonly told: string[]
  /** Handshakes of its WebSocket. */
  readonly sockets: IncomingMessage[]
}

/** A page with a WebSocket that says again what it hears. */
async function startPage(t: Test): Promise<Page> {
  const sockets: IncomingMessage[] = []
  const told: string[] = []
  const done = Promise.withResolvers<void>()
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url === '/told') {
      told.push((await wholeBody(request)).toString())
      done.resolve()
    }
    if (request.url === '/loaded') await done.promise
    response.setHeader('content-type', 'text/html')
    response.end(request.url === '/' ? PAGE : '')
  }
  const server = createServer((request, response) => void answer(request, response))
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    sockets.push(request)
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    )
    socket.on('error', () => socket.destroy())
    socket.on('data', (frame: Buffer) => socket.write(unmasked(frame)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { endpoint: `http://127.0.0.1:${port}`, told, sockets }
}

/** The short frame of a client as a server sends it (RFC 6455 §5.3). */
function unmasked(frame: Buffer): Buffer {
  const length = (frame[1] ?? 0) & 0x7f
  const mask = frame.subarray(2, 6)
  const payload = frame.subarray(6, 6 + length).map((octet, at) => octet ^ (mask[at % 4] ?? 0))
  return Buffer.concat([Buffer.of(frame[0] ?? 0, length), payload])
}

await test('Chromium: a page, a call and a WebSocket, all over HTTP/2', {
  skip: WITHOUT_CHROMIUM,
}, async t => {
  t.testdir()
  const ca = await TestAuthority.create(t)
  const page = await startPage(t)
  const here = await world(t, ca, { acme: page.endpoint })
  const { port } = here.amt.address('tls')
  await run('chromium', [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--ignore-certificate-errors',
    `--user-data-dir=${t.testdirName}/chromium`,
    '--host-resolver-rules=MAP * 127.0.0.1',
    '--dump-dom',
    `https://acme.test:${port}/`,
  ])
  t.same(page.told, ['h2 hello'])
  t.equal(page.sockets.length, 1)
  t.equal(page.sockets[0]?.headers['x-amt-tenant'], 'acme')
  t.match(page.sockets[0]?.headers.via, /^2 /, 'its WebSocket came by HTTP/2')
})
