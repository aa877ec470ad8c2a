/** Limits and timeouts over HTTP/2: each ends the one call, with the answer that HTTP/1.1 gets, and no other. */
import { once } from 'node:events'
import { problemOf, valuesOf } from '../support/http2/call.ts'
import { answerOf, closeOf } from '../support/http2/http2-client.ts'
import { as, type Mix, mixTest, reportOf } from '../support/http2/mixes.ts'
import { eventually } from '../support/proxy-lab.ts'

const downstream2 = ({ downstream }: Mix): boolean => downstream === 2
const takes = downstream2

await mixTest(
  'calls over the rate are 429 with retry-after, those of others are not',
  async (t, scene) => {
    const client = await scene.http2Client()
    const answers = await Promise.all(
      Array.from({ length: 10 }, async () => client.call(as('acme', { path: '/report' }))),
    )
    const refused = answers.filter(({ status }) => status === 429)
    t.equal(refused.length, 7)
    for (const answer of refused) {
      t.equal(problemOf(answer), 'rate_limited')
      t.ok(Number(valuesOf(answer.fields, 'retry-after')[0]) >= 1)
      t.equal(
        valuesOf(answer.fields, 'ratelimit').length,
        valuesOf(answers[0]?.fields ?? [], 'ratelimit').length,
      )
    }
    t.equal((await client.call(as('globex', { path: '/report' }))).status, 200)
    t.equal(scene.acme.application.calls, 3)
    t.equal(scene.proxy.totals().calls, 4, 'refused calls are no usage')
  },
  { takes, acme: { limits: { requests: '1/m', burst: 3 } } },
)

await mixTest(
  'calls over the concurrency are 503, until one is over',
  async (t, scene) => {
    const client = await scene.http2Client()
    const opened = [scene.acme.application.opened()]
    const first = client.open(as('acme', { path: '/open' }))
    first.end()
    const one = await opened[0]
    const second = scene.acme.application.opened()
    client.open(as('acme', { path: '/open' })).end()
    const two = await second
    const refused = await client.call(as('acme', { path: '/report' }))
    t.same([refused.status, problemOf(refused)], [503, 'tenant_overloaded'])
    t.ok(Number(valuesOf(refused.fields, 'retry-after')[0]) >= 1)
    t.equal((await client.call(as('globex', { path: '/report' }))).status, 200)
    const answer = answerOf(first)
    one?.response.end()
    t.equal((await answer).status, 200)
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
    two.response.end()
  },
  { takes, acme: { limits: { concurrency: 2 } } },
)

await mixTest(
  'a body over the limit is 413, whether its length was said or not',
  async (t, scene) => {
    const client = await scene.http2Client()
    const body = ['x'.repeat(600), 'x'.repeat(600)]
    const told = client.open(
      as('acme', { method: 'POST', path: '/report', fields: { 'content-length': '1200' } }),
    )
    const refused = await answerOf(told)
    t.same([refused.status, problemOf(refused)], [413, 'body_too_large'])
    t.equal(scene.acme.application.calls, 0, 'it did not get there')
    const untold = client.open(as('acme', { method: 'POST', path: '/report' }))
    const answer = answerOf(untold)
    for (const piece of body) untold.write(piece)
    const late = await answer
    t.same([late.status, problemOf(late)], [413, 'body_too_large'])
    const whole = await client.call(
      as('acme', { method: 'POST', path: '/report', body: ['x'.repeat(1_000)] }),
    )
    t.equal(reportOf(whole).bodyOctets, 1_000)
  },
  { takes, acme: { limits: { body: '1000B' } } },
)

await mixTest(
  'a deployment that does not answer in time is 504, and its stream is cancelled',
  async (t, scene) => {
    const client = await scene.http2Client()
    const opened = scene.acme.application.opened()
    const late = client.call(as('acme', { path: '/open' }))
    const { gone } = await opened
    const answer = await late
    t.same([answer.status, problemOf(answer)], [504, 'upstream_timeout'])
    t.equal(await gone, scene.mix.upstream === 2 ? 8 : -1)
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
  },
  { takes, config: { timeouts: { response: '200ms' } } },
)

await mixTest(
  'a call that takes too long in all is cut, where its answer has begun',
  async (t, scene) => {
    const client = await scene.http2Client()
    const opened = scene.acme.application.opened()
    const stream = client.open(as('acme', { path: '/open' }))
    stream.end()
    const { response, gone } = await opened
    const head = once(stream, 'response')
    const closed = closeOf(stream)
    response.write('begun')
    await head
    stream.resume()
    t.not(await closed, 0, 'the stream is reset')
    t.not(await gone, 0)
    t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
  },
  { takes, config: { timeouts: { call: '300ms' } } },
)

await mixTest(
  'a body that stops arriving is 408, and another one beside it goes on',
  async (t, scene) => {
    const client = await scene.http2Client()
    const stream = client.open(as('acme', { method: 'POST', path: '/report' }))
    const answer = answerOf(stream)
    stream.write('some')
    for (let call = 0; call < 5; call++)
      t.equal((await client.call(as('acme', { path: '/report' }))).status, 200)
    const late = await answer
    t.same([late.status, problemOf(late)], [408, 'body_timeout'])
    t.equal((await client.call(as('globex', { path: '/report' }))).status, 200)
  },
  { takes, config: { timeouts: { body: '300ms' } } },
)

await mixTest(
  'a deployment that is away is 503, and the call of another tenant is not its business',
  async (t, scene) => {
    const client = await scene.http2Client()
    await scene.acme.close()
    const answers = await Promise.all(
      ['acme', 'globex', 'acme'].map(async id => client.call(as(id, { path: '/report' }))),
    )
    t.same(
      answers.map(({ status }) => status),
      [503, 200, 503],
    )
    for (const answer of [answers[0], answers[2]])
      if (answer !== undefined) {
        t.equal(problemOf(answer), 'upstream_connect')
        t.ok(Number(valuesOf(answer.fields, 'retry-after')[0]) >= 1)
      }
  },
  { takes },
)

await mixTest(
  'connections of a tenant are counted, whatever number of streams they have',
  async (t, scene) => {
    const [one, two] = [await scene.http2Client(), await scene.http2Client()]
    t.equal((await one.call(as('acme', { path: '/report' }))).status, 200)
    const refused = await two.call(as('acme', { path: '/report' }))
    t.same([refused.status, problemOf(refused)], [503, 'too_many_connections'])
    t.equal((await one.call(as('acme', { path: '/report' }))).status, 200)
    await one.close()
    const again = await scene.http2Client()
    await eventually(() => scene.proxy.worker.openConnections <= 2)
    t.equal((await again.call(as('acme', { path: '/report' }))).status, 200)
  },
  { takes, acme: { limits: { connections: 1 } } },
)

await mixTest(
  'a deployment that takes its leave before it came to most calls gets each of these again, and no budget is touched',
  async (t, scene) => {
    const { application, sessions } = scene.acme
    const client = await scene.http2Client()
    const first = application.opened()
    const calls = [client.call(as('acme', { path: '/open' }))]
    const read = await first
    const late: (() => void)[] = []
    application.on('open', ({ response }) => late.push(() => response.end('late')))
    for (let call = 0; call < 30; call++) calls.push(client.call(as('acme', { path: '/open' })))
    await eventually(() => late.length === 30)
    // As a server does that has read on and throws away what came behind the last call that it takes.
    sessions[0]?.goaway(0, 1)
    await eventually(() => late.length === 60)
    t.equal(sessions.length, 2, 'on a connection of their own')
    for (const answer of late) answer()
    read.response.end('read')
    t.same(
      (await Promise.all(calls)).map(({ body }) => body.toString()),
      ['read', ...Array.from({ length: 30 }, () => 'late')],
    )
    t.same(scene.proxy.limited(), {})
    // Node does not read the end of a connection that it has taken leave of.
    sessions[0]?.destroy()
  },
  { takes: ({ downstream, upstream }) => downstream === 2 && upstream === 2 },
)
