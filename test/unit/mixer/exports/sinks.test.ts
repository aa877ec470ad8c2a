/** What goes over the wire to each sink, and what its answers are taken for. */

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import type { CloudEventsConfig, StripeConfig } from '../../../../src/config/export-schema.ts'
import { exportSpec } from '../../../../src/mixer/exports/export-spec.ts'
import type { ExportItem, Outcome, Sink } from '../../../../src/mixer/exports/item.ts'
import { createCloudEventsSink } from '../../../../src/mixer/exports/sinks/cloudevents.ts'
import { createStripeSink } from '../../../../src/mixer/exports/sinks/stripe.ts'
import { exportConfig } from '../../../support/exports/export-lab.ts'
import { type SinkServer, startSinkServer } from '../../../support/exports/sink-server.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { LogLines } from '../../../support/log-lines.ts'

const WINDOW = Date.UTC(2026, 10, 30, 23)

function item(fields: Partial<ExportItem> = {}): ExportItem {
  const value = fields.value ?? 42n
  return {
    id: '2d8c19b5-65ca-556a-b693-45e91cc206fe',
    tenant: 'acme',
    metric: 'calls',
    operation: '',
    window: WINDOW,
    revision: 1n,
    round: 1n,
    value,
    total: value,
    attempts: 0,
    ...fields,
  }
}

function cloudEvents(t: Test, url: string, settings: Record<string, unknown> = {}): Sink {
  const config = exportConfig({ kind: 'cloudevents', url, ...settings }) as CloudEventsConfig
  const sink = createCloudEventsSink(config, exportSpec(config, 'orders'), new FakeClock(WINDOW))
  t.teardown(() => sink.close())
  return sink
}

function stripe(
  t: Test,
  url: string,
  settings: Record<string, unknown> = {},
  log = new LogLines(),
): Sink {
  const common = { kind: 'stripe', url, apiKey: 'sk_test_1', customers: { acme: 'cus_acme' } }
  const config = exportConfig({ ...common, ...settings }) as StripeConfig
  const sink = createStripeSink(config, new FakeClock(WINDOW), log.logger)
  t.teardown(() => sink.close())
  return sink
}

async function one(sink: Sink, fields: Partial<ExportItem> = {}): Promise<Outcome | undefined> {
  return (await sink.deliver([item(fields)]))[0]
}

await test('CloudEvents go in batches, with all that the specification demands', async t => {
  const server = await startSinkServer(t)
  const sink = cloudEvents(t, `${server.url}/api/v1/events?x=1`, {
    token: 'secret',
    headers: { 'x-tier': 'gold' },
    type: 'com.example.{metric}',
  })
  const items = [
    item(),
    item({ id: 'b', metric: 'egress', operation: 'read', value: 2n ** 60n, revision: 3n }),
  ]
  t.same(await sink.deliver(items), [{ kind: 'acknowledged' }, { kind: 'acknowledged' }])
  const [{ headers, body, path } = { headers: {}, body: '', path: '' }] = server.requests
  t.equal(path, '/api/v1/events?x=1')
  t.match(headers, {
    'content-type': 'application/cloudevents-batch+json',
    authorization: 'Bearer secret',
    'x-tier': 'gold',
  })
  const common = {
    specversion: '1.0',
    source: 'amt/orders',
    subject: 'acme',
    // The start of the window: its end would be in another month.
    time: '2026-11-30T23:00:00.000Z',
    datacontenttype: 'application/json',
  }
  const window = { window: '2026-11-30T23:00:00.000Z', windowEnd: '2026-12-01T00:00:00.000Z' }
  t.same(JSON.parse(body), [
    {
      ...common,
      id: item().id,
      type: 'com.example.calls',
      data: { value: 42, metric: 'calls', ...window, revision: 1 },
    },
    {
      ...common,
      id: 'b',
      type: 'com.example.egress',
      data: {
        value: '1152921504606846976',
        metric: 'egress',
        operation: 'read',
        ...window,
        revision: 3,
      },
    },
  ])
})

await test('one event a request is sent in structured mode, and charges have their fraction', async t => {
  const server = await startSinkServer(t)
  server.answer = { status: 202 }
  const sink = cloudEvents(t, server.url, { batch: 1 })
  t.equal(sink.batch, 1)
  t.same(await one(sink, { metric: 'event:page', value: 2_500_000n }), { kind: 'acknowledged' })
  t.equal(server.requests[0]?.headers['content-type'], 'application/cloudevents+json')
  t.match(JSON.parse(server.requests[0]?.body ?? ''), {
    type: 'amt.event:page',
    data: { value: '2.5', metric: 'event:page' },
  })
  await one(sink, { metric: 'event:page', value: 3_000_000n })
  t.equal(JSON.parse(server.requests[1]?.body ?? '').data.value, 3)
})

await test('each answer to an event is taken for what it is', async t => {
  const server = await startSinkServer(t)
  const sink = cloudEvents(t, server.url)
  const cases: readonly [number, object][] = [
    [200, { kind: 'acknowledged' }],
    [204, { kind: 'acknowledged' }],
    [409, { kind: 'acknowledged' }],
    [400, { kind: 'refused', reason: 'answered 400: no such thing' }],
    [413, { kind: 'refused' }],
    [422, { kind: 'refused' }],
    [301, { kind: 'later', fault: 'sink', sent: 'no' }],
    [401, { kind: 'later', fault: 'sink', sent: 'no' }],
    [403, { kind: 'later', fault: 'sink', sent: 'no' }],
    [404, { kind: 'later', fault: 'sink', sent: 'no' }],
    [415, { kind: 'later', fault: 'sink', sent: 'no' }],
    [408, { kind: 'later', fault: 'sink', sent: 'perhaps' }],
    [429, { kind: 'later', fault: 'sink', sent: 'no' }],
    [500, { kind: 'later', fault: 'sink', sent: 'perhaps' }],
    [503, { kind: 'later', fault: 'sink', sent: 'perhaps' }],
  ]
  for (const [status, outcome] of cases) {
    const location = { location: `${server.url}/elsewhere` }
    server.answer = {
      status,
      headers: location,
      ...(status === 204 ? {} : { body: 'no such\u001b[2J\nthing' }),
    }
    t.match(
      await one(sink),
      status === 400 ? { kind: 'refused', reason: /^answered 400: no such \[2J thing$/ } : outcome,
      String(status),
    )
  }
  t.equal(server.requests.length, cases.length, 'no redirect was followed')
  server.answer = { status: 429, headers: { 'retry-after': '120' } }
  t.match(await one(sink), { afterMs: 120_000 })
  server.answer = {
    status: 503,
    headers: { 'retry-after': new Date(WINDOW + 60_000).toUTCString() },
  }
  t.match(await one(sink), { afterMs: 60_000 })
  server.answer = { status: 503, headers: { 'retry-after': 'soon' } }
  t.equal('afterMs' in ((await one(sink)) ?? {}), false)
})

await test('a bad event in a batch is found, and the others are taken', async t => {
  const server = await startSinkServer(t)
  server.refuses = ({ id }) => id === 'i5' || id === 'i13'
  const items = Array.from({ length: 20 }, (_, index) => item({ id: `i${index}` }))
  const outcomes = await cloudEvents(t, server.url).deliver(items)
  t.same(
    outcomes.flatMap(({ kind }, index) => (kind === 'acknowledged' ? [] : [`${kind} ${index}`])),
    ['refused 5', 'refused 13'],
  )
  t.equal(server.taken.size, 18)
})

await test('an answer without end, garbage and silence are bounded', async t => {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', data => {
      if (data.includes('/endless')) {
        socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
        const write = (): void => {
          while (!socket.destroyed && socket.write(`4000\r\n${'x'.repeat(0x4000)}\r\n`));
          socket.once('drain', write)
        }
        write()
      }
      if (data.includes('/garbage')) socket.end('what?\r\n\r\n')
      if (data.includes('/silence')) socket.pause()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', socket => sockets.add(socket))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.same(await one(cloudEvents(t, `${url}/endless`)), { kind: 'acknowledged' })
  t.match(await one(cloudEvents(t, `${url}/garbage`)), { kind: 'later', sent: 'perhaps' })
  t.match(await one(cloudEvents(t, `${url}/silence`, { timeout: '100ms' })), {
    kind: 'later',
    sent: 'perhaps',
    reason: /no answer within 100 ms/,
  })
  t.match(await one(cloudEvents(t, 'http://127.0.0.1:1/')), { kind: 'later', sent: 'no' })
  t.match(await one(cloudEvents(t, 'http://no-such-host.invalid/')), { kind: 'later', sent: 'no' })
})

await test('a Stripe meter event is a form with an identifier', async t => {
  const server = await startSinkServer(t)
  const sink = stripe(t, `${server.url}/`, { eventNames: { egress: 'bytes out' } })
  t.match(sink, { maxAgeMs: 35 * 86_400_000, deduplicationMs: 86_400_000 })
  t.same(await one(sink), { kind: 'acknowledged' })
  t.same(await one(sink, { id: 'b', metric: 'egress', value: 2n ** 62n, attempts: 3 }), {
    kind: 'acknowledged',
  })
  const [first, second] = server.requests
  t.equal(first?.path, '/v1/billing/meter_events')
  t.match(first?.headers, {
    authorization: 'Bearer sk_test_1',
    'content-type': 'application/x-www-form-urlencoded',
    'idempotency-key': `${item().id}.0`,
  })
  t.same(Object.fromEntries(new URLSearchParams(first?.body)), {
    event_name: 'amt_calls',
    identifier: item().id,
    timestamp: String(WINDOW / 1_000),
    'payload[stripe_customer_id]': 'cus_acme',
    'payload[value]': '42',
  })
  t.same(new URLSearchParams(second?.body).get('payload[value]'), '4611686018427387904')
  t.same(new URLSearchParams(second?.body).get('event_name'), 'bytes out')
  t.equal(
    second?.headers['idempotency-key'],
    'b.3',
    'Stripe repeats its answer to a key, also its own failures',
  )
})

await test('each answer of Stripe is taken for what it is', async t => {
  const server = await startSinkServer(t)
  const sink = stripe(t, server.url)
  const error = (
    status: number,
    code: string | undefined,
    message: string,
  ): SinkServer['answer'] => ({
    status,
    body: JSON.stringify({ error: { ...(code === undefined ? {} : { code }), message } }),
  })
  const cases: readonly [SinkServer['answer'], object][] = [
    [{ status: 200, body: '{}' }, { kind: 'acknowledged' }],
    [error(400, 'duplicate_meter_event', 'x'), { kind: 'acknowledged' }],
    [error(400, undefined, 'An event already exists with identifier b.'), { kind: 'acknowledged' }],
    [error(400, 'timestamp_too_far_in_past', 'x'), { kind: 'expired' }],
    [
      error(400, 'parameter_invalid', 'no meter'),
      { kind: 'refused', reason: 'answered 400 parameter_invalid: no meter' },
    ],
    [
      { status: 400, body: '<html>' },
      { kind: 'refused', reason: 'answered 400' },
    ],
    [error(409, 'lock_timeout', 'x'), { kind: 'later', fault: 'item', sent: 'perhaps' }],
    [error(401, undefined, 'Invalid API Key'), { kind: 'later', fault: 'sink', sent: 'no' }],
    [error(429, 'rate_limit', 'x'), { kind: 'later', fault: 'sink', sent: 'no' }],
    [error(500, undefined, 'x'), { kind: 'later', fault: 'sink', sent: 'perhaps' }],
  ]
  for (const [answer, outcome] of cases) {
    server.answer = answer
    t.match(await one(sink), outcome, JSON.stringify(answer))
  }
})

await test('once Stripe fails, the rest of a batch is not begun', async t => {
  const server = await startSinkServer(t)
  server.answer = { status: 500 }
  const items = Array.from({ length: 100 }, (_, index) => item({ id: `i${index}` }))
  const outcomes = await stripe(t, server.url, { concurrency: 4 }).deliver(items)
  t.ok(server.requests.length <= 8, `${server.requests.length} requests`)
  t.ok(outcomes.every(({ kind }) => kind === 'later'))
  t.equal(
    outcomes.filter(each => each.kind === 'later' && each.sent === 'no').length,
    100 - server.requests.length,
  )
})

await test('a tenant without a customer waits, until the file has it', async t => {
  const server = await startSinkServer(t)
  const file = join(t.testdir({ 'customers.json': '{"globex": "cus_globex"}' }), 'customers.json')
  const log = new LogLines()
  const sink = stripe(t, server.url, { customersFile: file }, log)
  t.same(await one(sink, { tenant: 'globex', id: 'a' }), { kind: 'acknowledged' })
  t.same(await one(sink, { tenant: 'initech', id: 'b' }), {
    kind: 'later',
    fault: 'item',
    sent: 'no',
    reason: 'no Stripe customer is known for tenant initech',
  })
  writeFileSync(file, '{"globex": 1}')
  t.same(
    await one(sink, { tenant: 'globex', id: 'c' }),
    { kind: 'acknowledged' },
    'what was known stays',
  )
  await one(sink, { tenant: 'globex', id: 'c2' })
  t.equal(log.all('the file of customers is not usable').length, 1)
  writeFileSync(file, '{"globex": "cus_globex", "initech": "cus_initech"}')
  t.same(await one(sink, { tenant: 'initech', id: 'd' }), { kind: 'acknowledged' })
  t.same(
    await one(sink, { tenant: 'constructor', id: 'e' }).then(outcome => outcome?.kind),
    'later',
  )
})
