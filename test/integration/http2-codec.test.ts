/** The codec with the ends of others: Node's own client, curl, nghttp and h2load in cleartext, and h2spec where it is. */
import { once } from 'node:events'
import { type ClientHttp2Session, connect, constants } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { type Test, test } from 'tap'
import { createEchoServer } from '../support/http2/echo-server.ts'
import { runCommand, skipWithout } from '../support/program.ts'
import { SeededRandom } from '../support/seeded-random.ts'

/** No package of Debian: a program in Go. */
const H2SPEC = skipWithout({
  h2spec: 'none: go install github.com/summerwind/h2spec/cmd/h2spec@latest',
})
const SEED = Number(process.env['HTTP2_SEED'] ?? Date.now() % 2 ** 31)

async function startEcho(t: Test): Promise<string> {
  const server = createEchoServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Answer {
  readonly status: number
  readonly path: string
  readonly body: string
  readonly trailers: Readonly<Record<string, unknown>>
}

async function call(
  session: ClientHttp2Session,
  path: string,
  body: string | undefined,
  trailers = false,
): Promise<Answer> {
  const method = body === undefined ? 'GET' : 'POST'
  const stream = session.request(
    { ':method': method, ':path': path },
    { waitForTrailers: trailers, endStream: body === undefined },
  )
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(body?.length) }))
  const received: Record<string, unknown> = {}
  stream.on('trailers', headers => Object.assign(received, headers))
  const response = once(stream, 'response')
  if (body !== undefined) stream.end(body)
  const [headers] = (await response) as [Record<string, unknown>]
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  return {
    status: Number(headers[':status']),
    path: String(headers['x-path']),
    body: Buffer.concat(chunks).toString(),
    trailers: received,
  }
}

await test("Node's own client: many calls at once, of any size, with trailers", async t => {
  const random = new SeededRandom(SEED)
  t.comment(`HTTP2_SEED=${SEED}`)
  const session = connect(`http://${await startEcho(t)}`, {
    settings: { initialWindowSize: 20_000 },
  })
  const calls = Array.from({ length: 300 }, (_, index) => {
    const body = random.below(4) === 0 ? undefined : String(index).repeat(random.below(40_000))
    return { path: `/${index}`, body, trailers: body !== undefined && random.below(2) === 0 }
  })
  let next = 0
  const work = async (): Promise<void> => {
    for (let each = calls[next++]; each !== undefined; each = calls[next++]) {
      const { path, body, trailers } = each
      const answer = await call(session, path, body, trailers)
      const same =
        answer.status === 200 && answer.path === path && answer.body === (body ?? 'hello\n')
      if (!same) t.fail(`${path}: ${answer.status} ${answer.body.length}`)
      if (trailers && answer.trailers['x-sum'] !== String(body?.length)) t.fail(`${path}: trailers`)
    }
  }
  await Promise.all(Array.from({ length: 50 }, work))
  t.ok(next > calls.length)
  session.close()
  await once(session, 'close')
})

await test("Node's own client: a stream that is reset leaves the others alone", async t => {
  const session = connect(`http://${await startEcho(t)}`)
  const doomed = session.request({ ':method': 'POST', ':path': '/doomed' })
  await once(doomed, 'response')
  doomed.close(constants.NGHTTP2_CANCEL)
  await once(doomed, 'close')
  t.match(await call(session, '/next', 'body'), { status: 200, body: 'body' })
  session.close()
  await once(session, 'close')
})

async function output(name: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand([name, args])
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`)
  return stdout.toString()
}

await test('curl, with prior knowledge', { skip: skipWithout({ curl: 'curl' }) }, async t => {
  const address = await startEcho(t)
  const url = `http://${address}/path`
  t.equal(await output('curl', ['-sS', '--http2-prior-knowledge', url]), 'hello\n')
  const post = await output('curl', [
    '-sS',
    '--http2-prior-knowledge',
    '-d',
    'some data',
    '-w',
    ' %{http_version}',
    url,
  ])
  t.equal(post, 'some data 2')
})

await test('nghttp', { skip: skipWithout({ nghttp: 'nghttp2-client' }) }, async t => {
  const log = await output('nghttp', ['-v', `http://${await startEcho(t)}/path`])
  t.match(log, /hello/)
  t.notMatch(log, /error_code=(?!NO_ERROR)/)
})

await test('h2load: 5,000 calls over ten connections', {
  skip: skipWithout({ h2load: 'nghttp2-client' }),
}, async t => {
  const args = ['-n', '5000', '-c', '10', '-m', '20', `http://${await startEcho(t)}/`]
  t.match(await output('h2load', args), /5000 succeeded, 0 failed, 0 errored, 0 timeout/)
})

await test('h2spec, strict: every case', { skip: H2SPEC }, async t => {
  const [host = '', port = ''] = (await startEcho(t)).split(':')
  const { stdout } = await runCommand(['h2spec', ['-S', '-h', host, '-p', port]])
  t.match(stdout.toString(), /146 tests, 146 passed, 0 skipped, 0 failed/)
})
