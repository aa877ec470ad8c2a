/** The sampler is what stands between a proxy that answers wrongly and a figure for it. */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type Test, test } from 'tap'
import { answerTo } from '../../../bench/deployments/deployment.ts'
import { parseAnswer } from '../../../bench/harness/answer.ts'
import { Sampler } from '../../../bench/harness/sample.ts'
import type { Work } from '../../../bench/harness/work.ts'
import { http1ApiKey } from '../../../bench/lanes/call-lanes.ts'

const WORK: Work = {
  lane: http1ApiKey,
  folder: '',
  path: '/v1/orders/1',
  field: 'x-api-key',
  tenants: [
    { id: 't-1', credential: 'key-1' },
    { id: 't-2', credential: 'key-2' },
  ],
  foreignCredential: 'key-of-nobody',
  credentialFile: '',
  jwt: undefined,
  tls: undefined,
}

async function sampler(t: Test, onCall: RequestListener, closes = false): Promise<Sampler> {
  const server = createServer(onCall).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const made = await Sampler.open(
    WORK,
    typeof address === 'object' && address ? address.port : 0,
    closes,
  )
  t.teardown(() => {
    void made.close()
    server.closeAllConnections()
    server.close()
  })
  return made
}

function answering(body: (key: string) => string, status = 200): RequestListener {
  return (call, answer) => {
    const text = body(String(call.headers['x-api-key']))
    answer.writeHead(status, { 'content-length': text.length }).end(text)
  }
}

const right = answering(key => answerTo(key.replace('key', 't'), ''))

await test('right answers are counted and measured', async t => {
  const made = await sampler(t, right)
  await made.all()
  t.ok(made.lengths.min > 100)
  t.equal(made.lengths.min, made.lengths.max)
})

await test('sampling goes on until the load has ended', async t => {
  let answered = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const made = await sampler(t, (call, answer) => {
    right(call, answer)
    answered += 1
    if (answered === 3) resolve()
  })
  t.equal(await made.during(promise), 3)
})

await test('every way to be wrong is an error', async t => {
  const cases: Record<string, RequestListener> = {
    'the answer of another tenant': answering(() => answerTo('t-9', '')),
    'a credential that reached the deployment': answering(key => answerTo('t-1', key)),
    'another status': answering(() => answerTo('t-1', ''), 206),
    'a body that was cut': answering(() => answerTo('t-1', '').slice(1)),
    'a connection that is cut': call => call.socket.destroy(),
  }
  for (const [name, onCall] of Object.entries(cases)) {
    const made = await sampler(t, onCall)
    await t.rejects(made.next(), { name: 'WrongAnswer' }, name)
  }
})

await test('answers whose lengths are far apart are an error', async t => {
  let calls = 0
  const made = await sampler(t, (call, answer) => {
    calls += 1
    answer.setHeader('x-more', 'x'.repeat(calls * 10))
    right(call, answer)
  })
  await made.next()
  await t.rejects(made.next(), /answers of \d+ and \d+ bytes/)
})

await test('each call on its own connection must end it', async t => {
  const closing = await sampler(t, right, true)
  await closing.all()
  const keeping = await sampler(
    t,
    (call, answer) => {
      answer.setHeader('connection', 'keep-alive')
      right(call, answer)
    },
    true,
  )
  await t.rejects(keeping.next(), /connection was kept/)
})

await test('a proxy that lets a stranger in is found out', async t => {
  await (
    await sampler(
      t,
      answering(() => '', 401),
    )
  ).refused()
  const open = await sampler(t, right)
  await t.rejects(open.refused(), /foreign credential got 200/)
})

await test('an answer is complete at its last byte, and at no byte before', async t => {
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'
  for (let end = 0; end < text.length; end += 1) t.equal(parseAnswer(text.slice(0, end)), undefined)
  t.same(parseAnswer(text), { status: 200, closes: false, body: 'hi', bytes: text.length })
  t.throws(() => parseAnswer(`${text}!`), { name: 'WrongAnswer', message: /behind/ })
  t.throws(() => parseAnswer('HTTP/1.1 200 OK\r\n\r\n'), {
    name: 'WrongAnswer',
    message: /without/,
  })
})
