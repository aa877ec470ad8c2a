/** The deployment of the lanes over HTTP/2 says what reached it; the lanes believe it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { answerTo } from '../../../bench/deployments/deployment.ts'
import {
  grpcMessage,
  STREAMING_PATH,
  UNARY_PATH,
  UNARY_REQUEST,
} from '../../../bench/harness/http2-call.ts'
import { freePorts } from '../../support/free-ports.ts'

const PROGRAM = join(import.meta.dirname, '../../../bench/deployments/http2-deployment.ts')

async function deployment(t: Test): Promise<ClientHttp2Session> {
  const [port = 0] = await freePorts(1)
  const child = spawn(process.execPath, [PROGRAM, String(port)], { stdio: 'ignore' })
  t.teardown(async () => {
    child.kill()
    await once(child, 'exit')
  })
  for (;;) {
    const session = connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    const connected = await Promise.race([
      once(session, 'connect').then(
        () => true,
        () => false,
      ),
      once(child, 'exit').then(() => {
        throw new Error('the deployment has ended')
      }),
    ])
    if (!connected) continue
    t.teardown(() => session.destroy())
    return session
  }
}

interface Answer {
  readonly body: string
  readonly head: Record<string, unknown>
  readonly trailers: Record<string, unknown>
}

async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: Buffer,
): Promise<Answer> {
  const call = session.request(headers, { endStream: body === undefined })
  let [head, trailers]: Record<string, unknown>[] = [{}, {}]
  const pieces: Buffer[] = []
  call.on('response', fields => (head = fields))
  call.on('trailers', fields => (trailers = fields))
  call.on('data', (piece: Buffer) => pieces.push(piece))
  if (body) call.end(body)
  await once(call, 'end')
  return {
    body: Buffer.concat(pieces).toString('latin1'),
    head: head ?? {},
    trailers: trailers ?? {},
  }
}

await test('it says the tenant that it was told, and any credential that reached it', async t => {
  const session = await deployment(t)
  t.equal((await ask(session, { 'x-amt-tenant': 't-1' })).body, answerTo('t-1', ''))
  const named = { 'x-amt-tenant': 't-1', 'x-api-key': 'key', authorization: 'Bearer x' }
  t.equal((await ask(session, named)).body, answerTo('t-1', 'keyBearer x'))
  t.equal((await ask(session, {})).body, answerTo('', ''))
})

await test('a unary call gets a message and status 0, if its own message came whole', async t => {
  const session = await deployment(t)
  const headers = { ':method': 'POST', ':path': UNARY_PATH, 'x-amt-tenant': 't-1' }
  const right = await ask(session, headers, UNARY_REQUEST)
  t.equal(right.body, grpcMessage(Buffer.from(answerTo('t-1', ''))).toString('latin1'))
  t.match(right.trailers, { 'grpc-status': '0' })
  const broken = [
    UNARY_REQUEST.subarray(1),
    Buffer.alloc(UNARY_REQUEST.length),
    Buffer.concat([UNARY_REQUEST, UNARY_REQUEST]),
  ]
  for (const body of broken)
    t.match((await ask(session, headers, body)).trailers, { 'grpc-status': '15' })
})

await test('a stream says whose it is and echoes its messages, also those that are larger than a window', async t => {
  const session = await deployment(t)
  const headers = { ':method': 'POST', ':path': STREAMING_PATH, 'x-amt-tenant': 't-1' }
  const body = Buffer.alloc(300_000, 'message ')
  const answer = await ask(session, headers, body)
  t.match(answer.head, { 'x-tenant': 't-1' })
  t.equal(answer.body, body.toString('latin1'))
  t.match(answer.trailers, { 'grpc-status': '0' })
})
