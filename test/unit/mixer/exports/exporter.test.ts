/** What the exporter does with windows, late usage, failing sinks, other mixers and clocks that jump. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import {
  DAY,
  type ExportLab,
  exportConfig,
  HOUR,
  MINUTE,
  START,
  startExportLab,
} from '../../../support/exports/export-lab.ts'
import { type SinkServer, startSinkServer } from '../../../support/exports/sink-server.ts'

/** The window that the lab starts in. */
const WINDOW = START - 10 * MINUTE

async function startWithSink(t: Test): Promise<{ lab: ExportLab; sink: SinkServer }> {
  const lab = await startExportLab(t)
  return { lab, sink: await startSinkServer(t) }
}

function events(
  sink: SinkServer,
  settings: Record<string, unknown> = {},
): ReturnType<typeof exportConfig> {
  const { url } = sink
  return exportConfig({
    kind: 'cloudevents',
    url: `${url}/events`,
    metrics: ['calls'],
    ...settings,
  })
}

const byTime = (sink: SinkServer): Record<string, bigint> =>
  sink.sums(({ time, tenant }) => `${new Date(time).toISOString().slice(11, 16)} ${tenant}`)

await test('a window is exported once it is closed, and not again', async t => {
  const { lab, sink } = await startWithSink(t)
  const exports = await lab.start([events(sink)])
  await exports.pass()
  await lab.report(
    exports,
    { window: START, calls: 3 },
    { window: START, calls: 4, tenant: 'globex' },
  )
  lab.clock.ms = WINDOW + HOUR + 5 * MINUTE - 1
  await exports.pass()
  t.equal(sink.taken.size, 0, 'not before its end and the delay')
  lab.clock.ms += 1
  await exports.pass()
  t.same(byTime(sink), { '12:00 acme': 3n, '12:00 globex': 4n })
  for (let hour = 0; hour < 5; hour += 1) {
    lab.clock.ms += HOUR
    await exports.pass()
  }
  t.equal(sink.requests.length, 1)
  t.same(await lab.states(), { acknowledged: 2 })
})

await test('late usage follows as a correction, with an alarm', async t => {
  const { lab, sink } = await startWithSink(t)
  const exports = await lab.start([events(sink, { by: ['operation'] })])
  await exports.pass()
  await lab.report(exports, { window: START, calls: 3 })
  lab.clock.ms = WINDOW + 3 * HOUR
  await exports.pass()
  await lab.report(exports, { window: START, calls: 4 })
  await lab.report(exports, { window: START, calls: 5, operation: 'write' })
  lab.clock.ms += 2 * MINUTE
  await exports.pass()
  t.same(
    sink.sums(({ time, operation }) => `${time} ${operation}`),
    { [`${WINDOW} read-order`]: 7n, [`${WINDOW} write`]: 5n },
  )
  const items = await lab.rows(
    'SELECT operation, revision, round, value, total FROM export_item ORDER BY operation, revision',
  )
  t.match(items, [
    { operation: 'read-order', revision: 1n, round: 1n, value: 3n, total: 3n },
    { operation: 'read-order', revision: 2n, round: 2n, value: 4n, total: 7n },
    { operation: 'write', revision: 1n, round: 2n, value: 5n, total: 5n },
  ])
  const message = 'usage came after its window was exported: corrected'
  t.match(lab.log.all(message), [{ level: 'warn', export: 'billing', items: 2 }])
  t.match(await exports.registry.metrics(), /^amt_export_late_total\{export="billing"\} 2$/m)
  lab.clock.ms += HOUR
  await exports.pass()
  t.same((await lab.rows('SELECT * FROM export_recheck WHERE window_start < 1')).length, 0)
})

await test('usage that is late for a window that gets more all the time is not put off', async t => {
  const { lab, sink } = await startWithSink(t)
  const exports = await lab.start([events(sink)])
  await exports.pass()
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  for (let minute = 0; minute < 10; minute += 1) {
    await lab.report(exports, { window: START, calls: 1 })
    lab.clock.ms += MINUTE
    await exports.pass()
  }
  t.ok((byTime(sink)['12:00 acme'] ?? 0n) >= 7n)
  lab.clock.ms += 4 * MINUTE
  await exports.pass()
  t.same(byTime(sink), { '12:00 acme': 10n })
})

await test('usage of before the first start is exported only where that is asked for', async t => {
  const { lab, sink } = await startWithSink(t)
  const old = { window: START - 3 * HOUR, calls: 2 }
  const config = events(sink)
  const plain = await lab.start([config])
  await lab.report(plain, old)
  await plain.pass()
  await lab.report(plain, { ...old, calls: 3 })
  lab.clock.ms += 3 * HOUR
  await plain.pass()
  t.equal(sink.taken.size, 0)
  const since = new Date(START - 4 * HOUR).toISOString()
  const asked = await lab.start([config, events(sink, { name: 'other', since })])
  await plain.exporter.close()
  await asked.pass()
  t.same(byTime(sink), { '09:00 acme': 5n })
})

await test('what cannot be sent any more waits for an operator, loudly', async t => {
  const { lab, sink } = await startWithSink(t)
  sink.refuses = ({ tenant }) => tenant === 'globex'
  const exports = await lab.start([events(sink)])
  await exports.pass()
  const tenants = ['acme', 'globex', 'initech', 'umbrella', 'hooli']
  await lab.report(exports, ...tenants.map(tenant => ({ tenant, window: START, calls: 1 })))
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  t.same(await lab.states(), { acknowledged: 4, refused: 1 }, 'only the one that is meant')
  t.match(lab.log.all('usage was not exported and waits for a decision: see `amt exports`'), [
    { level: 'error', state: 'refused', items: 1, reason: /^answered 400: .*no such thing/ },
  ])
  t.match(
    await exports.registry.metrics(),
    /^amt_export_items\{export="billing",state="refused"\} 1$/m,
  )
  lab.clock.ms += DAY
  await exports.pass()
  t.same(await lab.states(), { acknowledged: 4, refused: 1 }, 'not tried again by itself')
})

await test('what is too old for the sink expires, and is kept', async t => {
  const { lab, sink } = await startWithSink(t)
  sink.answer = { status: 503 }
  const exports = await lab.start([events(sink, { maxAge: '2d' })])
  await exports.pass()
  await lab.report(exports, { window: START })
  for (let hour = 0; hour < 60; hour += 1) {
    lab.clock.ms += HOUR
    await exports.pass()
  }
  t.same(await lab.states(), { expired: 1 })
  sink.answer = undefined
  lab.clock.ms += DAY
  await exports.pass()
  t.equal(sink.taken.size, 0)
})

await test('an item whose fate is unknown is not sent when the sink would not know it again', async t => {
  const { lab, sink } = await startWithSink(t)
  const exports = await lab.start([events(sink, { deduplication: '1d' })])
  await exports.pass()
  await lab.report(exports, { window: START })
  sink.fault = () => 'drop after'
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  sink.answer = { status: 503 }
  for (let hour = 0; hour < 24; hour += 1) {
    lab.clock.ms += HOUR
    await exports.pass()
  }
  t.same(await lab.states(), { uncertain: 1 })
  sink.answer = undefined
  sink.fault = () => 'none'
  lab.clock.ms += HOUR
  await exports.pass()
  t.same(byTime(sink), { '12:00 acme': 1n })
})

await test('a sink that cannot be reached has nothing, however long it is away', async t => {
  const { lab, sink } = await startWithSink(t)
  const gone = events(sink, { url: 'http://127.0.0.1:1/', deduplication: '1d' })
  const exports = await lab.start([gone])
  await exports.pass()
  await lab.report(exports, { window: START })
  for (let hour = 0; hour < 50; hour += 1) {
    lab.clock.ms += HOUR
    await exports.pass()
  }
  t.same(await lab.states(), { pending: 1 }, 'neither given up nor uncertain')
  t.match(exports.exporter.problemOf('billing'), /ECONNREFUSED/)
  const moved = await lab.start([events(sink, { deduplication: '1d' })])
  await exports.exporter.close()
  await moved.pass()
  t.same(byTime(sink), { '12:00 acme': 1n })
})

await test('a sink that says when to come back is left alone until then', async t => {
  const { lab, sink } = await startWithSink(t)
  sink.answer = { status: 429, headers: { 'retry-after': '90' } }
  const exports = await lab.start([events(sink)])
  await exports.pass()
  await lab.report(exports, { window: START })
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  sink.answer = undefined
  lab.clock.ms += 89_000
  await exports.pass()
  t.equal(sink.requests.length, 1)
  lab.clock.ms += 1_000
  await exports.pass()
  t.equal(sink.requests.length, 2)
  t.same(await lab.states(), { acknowledged: 1 })
})

await test('one mixer exports at a time, and another follows when it is gone', async t => {
  const { lab, sink } = await startWithSink(t)
  const [first, second] = [await lab.start([events(sink)]), await lab.start([events(sink)])]
  await first.pass()
  await lab.report(second, { window: START, calls: 3 })
  lab.clock.ms = WINDOW + 2 * HOUR
  await Promise.all([first.pass(), second.pass()])
  t.equal(sink.requests.length, 1)
  lab.clock.ms += 2 * MINUTE
  await first.pass()
  lab.clock.ms += 10_000
  await second.pass()
  t.match(await first.registry.metrics(), /^amt_export_leader 1$/m)
  t.match(await second.registry.metrics(), /^amt_export_leader 0$/m)
  await lab.report(first, { window: WINDOW + 2 * HOUR, calls: 4 })
  // The first is gone without a word; its lease ends by itself.
  lab.clock.ms += 2 * HOUR
  await second.pass()
  t.match(await second.registry.metrics(), /^amt_export_leader 1$/m)
  t.same(byTime(sink), { '12:00 acme': 3n, '14:00 acme': 4n })
  t.same(sink.contradictions, [])
})

await test('a mixer that ends gives the lease on at once', async t => {
  const { lab, sink } = await startWithSink(t)
  const [first, second] = [await lab.start([events(sink)]), await lab.start([events(sink)])]
  await first.pass()
  await lab.report(second, { window: START, calls: 3 })
  lab.clock.ms = WINDOW + 2 * HOUR
  await first.exporter.close()
  await second.pass()
  t.same(byTime(sink), { '12:00 acme': 3n })
})

await test('a mixer that ends does not wait for a sink that hangs, and the item is sent again', async t => {
  const { lab, sink } = await startWithSink(t)
  const { promise: reached, resolve } = Promise.withResolvers<void>()
  sink.fault = () => {
    resolve()
    return 'stall after'
  }
  const first = await lab.start([events(sink, { timeout: '10m' })])
  await first.pass()
  await lab.report(first, { window: START, calls: 3 })
  lab.clock.ms = WINDOW + 2 * HOUR
  const passing = first.pass()
  await reached
  await first.exporter.close()
  await passing
  t.same(await lab.states(), { pending: 1 })
  sink.fault = () => 'none'
  const second = await lab.start([events(sink)])
  lab.clock.ms += 5 * MINUTE
  await second.pass()
  t.same(await lab.states(), { acknowledged: 1 })
  t.same(byTime(sink), { '12:00 acme': 3n })
  t.equal(sink.requests.length, 2)
})

await test('nothing is closed or given up while the clock may jump back', async t => {
  const { lab, sink } = await startWithSink(t)
  let ahead = 0
  const { clock } = lab
  clock.monotonic = () => clock.ms
  clock.now = () => clock.ms + ahead
  const exports = await lab.start([events(sink, { maxAge: '12h' })])
  await exports.pass()
  await lab.report(exports, { window: START, calls: 1 })
  ahead = DAY
  clock.ms += 10_000
  await exports.pass()
  t.match(lab.log.all('the clock has jumped: exports wait, in case it jumps back').length, 1)
  ahead = 0
  clock.ms += MINUTE
  await exports.pass()
  await lab.report(exports, { window: START + MINUTE, calls: 2 })
  clock.ms += 2 * HOUR
  await exports.pass()
  t.same(byTime(sink), { '12:00 acme': 3n })
  t.same(await lab.states(), { acknowledged: 1 })
  ahead = -HOUR
  clock.ms += 10_000
  await exports.pass()
  clock.ms += 3 * HOUR
  await exports.pass()
  t.same(byTime(sink), { '12:00 acme': 3n })
})

await test('a clock that stays a day ahead for a while bills nothing twice and loses nothing', async t => {
  const { lab, sink } = await startWithSink(t)
  let ahead = 0
  const { clock } = lab
  clock.monotonic = () => clock.ms
  clock.now = () => clock.ms + ahead
  const exports = await lab.start([events(sink)])
  await exports.pass()
  await lab.report(exports, { window: START, calls: 1 })
  ahead = DAY
  for (let pass = 0; pass < 4; pass += 1) {
    clock.ms += 5 * MINUTE
    await exports.pass()
  }
  t.same(byTime(sink), { '12:00 acme': 1n }, 'closed too early')
  await lab.report(exports, { window: START + 20 * MINUTE, calls: 2 })
  ahead = 0
  clock.ms += 10_000
  await exports.pass()
  await lab.report(exports, { window: START + 21 * MINUTE, calls: 4 })
  for (let pass = 0; pass < 40; pass += 1) {
    clock.ms += 5 * MINUTE
    await exports.pass()
  }
  t.same(byTime(sink), { '12:00 acme': 7n })
  t.same(sink.contradictions, [])
})

await test('an export keeps its shape, and says so', async t => {
  const { lab, sink } = await startWithSink(t)
  const first = await lab.start([events(sink)])
  await first.pass()
  await lab.report(first, { window: START, calls: 1 })
  await first.exporter.close()
  const changed = await lab.start([events(sink, { window: 'day' })])
  lab.clock.ms += 2 * DAY
  await changed.pass()
  t.equal(sink.taken.size, 0)
  t.match(changed.exporter.problemOf('billing'), /must stay; give a changed export another name/)
  await changed.exporter.close()
  const again = await lab.start([events(sink)])
  await again.pass()
  t.same(byTime(sink), { '12:00 acme': 1n })
})

await test('a metric that is added begins with the next window, for late usage too', async t => {
  const { lab, sink } = await startWithSink(t)
  const first = await lab.start([events(sink)])
  await first.pass()
  await lab.report(first, { window: START, calls: 1, egress: 100 })
  lab.clock.ms = WINDOW + HOUR + 10 * MINUTE
  await first.pass()
  await first.exporter.close()
  const more = await lab.start([events(sink, { metrics: ['calls', 'egress'] })])
  await more.pass()
  await lab.report(
    more,
    { window: START, calls: 1, egress: 100 },
    { window: START + HOUR, calls: 1, egress: 100 },
  )
  lab.clock.ms += 2 * HOUR
  await more.pass()
  const names = sink.sums(({ time, name }) => `${new Date(time).getUTCHours()} ${name}`)
  t.same(names, { '12 amt.calls': 2n, '13 amt.calls': 1n, '13 amt.egress': 100n })
})

await test('what was acknowledged long ago is forgotten, and usage that is later still is not billed', async t => {
  const { lab, sink } = await startWithSink(t)
  const exports = await lab.start([events(sink, { window: 'day', keep: '36d' })])
  await exports.pass()
  await lab.report(exports, { window: START, calls: 1 })
  for (let day = 0; day < 45; day += 1) {
    lab.clock.ms += DAY
    await exports.pass()
  }
  t.same(await lab.states(), {})
  await lab.report(exports, { window: START, calls: 5 })
  lab.clock.ms += HOUR
  await exports.pass()
  t.same(
    [...sink.taken.values()].map(({ value }) => value),
    [1n],
  )
  t.match(await exports.registry.metrics(), /^amt_export_too_late_total\{export="billing"\} 1$/m)
  t.equal(
    lab.log.lines.filter(({ level, msg }) => level === 'error' && /too old/.test(msg)).length,
    1,
  )
})

await test('charges are exported as metrics of their events, with their fraction', async t => {
  const lab = await startExportLab(t)
  const directory = join(t.testdirName, 'out')
  const metrics = ['event:page', 'event:seat']
  const config = exportConfig({ kind: 'file', directory, metrics, by: ['operation'] })
  const exports = await lab.start([config])
  await exports.pass()
  const charge = async (id: string, event: string, quantity: string): Promise<void> => {
    const request = { tenant: 'acme', charge: { id, event, quantity, attributes: {} } }
    t.match(await lab.charges.charge(request), { kind: 'charged' })
  }
  await charge('a', 'page', '2.5')
  await charge('b', 'page', '0.000001')
  await charge('c', 'seat', '3')
  await charge('d', 'other', '4')
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  const [name = ''] = readdirSync(directory)
  const lines = readFileSync(join(directory, name), 'utf8').trimEnd().split('\n')
  t.match(
    lines.map(line => JSON.parse(line)),
    [
      { tenant: 'acme', metric: 'event:page', value: '2.500001' },
      { tenant: 'acme', metric: 'event:seat', value: 3 },
    ],
  )
  t.equal(lines.length, 2)
})

await test('gRPC messages are exported as other counters are, where there are any', async t => {
  const { lab, sink } = await startWithSink(t)
  const metrics = ['requestMessages', 'responseMessages']
  const exports = await lab.start([events(sink, { metrics, by: ['operation'] })])
  await exports.pass()
  const place = { window: START, operation: 'place', code: 'grpc-0' } as const
  await lab.report(
    exports,
    { ...place, requestMessages: 40, responseMessages: 2 ** 53 - 1 },
    { ...place, code: 'grpc-13', requestMessages: 2, responseMessages: 1 },
    { window: START, requestMessages: 0, responseMessages: 0 },
  )
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  t.same(
    sink.sums(({ name, operation }) => `${name} ${operation}`),
    { 'amt.requestMessages place': 42n, 'amt.responseMessages place': 2n ** 53n },
  )
})

await test('files appear whole, one a window and one a correction', async t => {
  const lab = await startExportLab(t)
  const directory = join(t.testdirName, 'out')
  const config = exportConfig({ kind: 'file', directory, metrics: ['calls', 'egress'] })
  const exports = await lab.start([config])
  await exports.pass()
  await lab.report(
    exports,
    { window: START, calls: 3 },
    { window: START, calls: 4, tenant: 'globex' },
  )
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  await lab.report(exports, { window: START, calls: 1, egress: 0 })
  lab.clock.ms += HOUR
  await exports.pass()
  const names = readdirSync(directory).toSorted()
  t.same(names, [
    'billing-20261122T120000Z-3600s-1.ndjson',
    'billing-20261122T120000Z-3600s-2.ndjson',
  ])
  const lines = names.map(name => readFileSync(join(directory, name), 'utf8').trimEnd().split('\n'))
  t.match(
    lines.flat().map(line => JSON.parse(line)),
    [
      { tenant: 'acme', metric: 'calls', value: 3, revision: 1, source: 'amt/orders' },
      { tenant: 'acme', metric: 'egress', value: 2_000 },
      { tenant: 'globex', metric: 'calls', value: 4, window: '2026-11-22T12:00:00.000Z' },
      { tenant: 'globex', metric: 'egress', windowEnd: '2026-11-22T13:00:00.000Z' },
      { tenant: 'acme', metric: 'calls', value: 1, revision: 2 },
    ],
  )
  t.same(
    lines.map(({ length }) => length),
    [4, 1],
  )
})

await test('a file that was written before a crash is written again, the same', async t => {
  const lab = await startExportLab(t)
  const directory = join(t.testdirName, 'out')
  const config = exportConfig({ kind: 'file', directory, metrics: ['calls'] })
  const exports = await lab.start([config])
  await exports.pass()
  await lab.report(exports, { window: START }, { window: START, tenant: 'globex' })
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  const [name = ''] = readdirSync(directory)
  const before = readFileSync(join(directory, name), 'utf8')
  // As if the process had died between the file and the acknowledgement of its second half.
  await lab.ledger.database.transaction(session =>
    session.run(`UPDATE export_item SET state = 'pending', next_at = 0 WHERE tenant = 'globex'`),
  )
  await exports.pass()
  t.same(readdirSync(directory), [name])
  t.equal(readFileSync(join(directory, name), 'utf8'), before)
  t.same(await lab.states(), { acknowledged: 2 })
  const totals = await lab.rows(`SELECT acknowledged FROM export_total WHERE tenant = 'acme'`)
  t.match(totals, [{ acknowledged: 1n }], 'what was acknowledged before is not counted again')
})

await test('a directory that cannot be written is a sink that is away', async t => {
  const lab = await startExportLab(t)
  writeFileSync(join(t.testdirName, 'taken'), '')
  const directory = join(t.testdirName, 'taken', 'out')
  const config = exportConfig({ kind: 'file', directory, metrics: ['calls'] })
  const exports = await lab.start([config])
  await exports.pass()
  await lab.report(exports, { window: START })
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  t.same(await lab.states(), { pending: 1 })
  t.match(exports.exporter.problemOf('billing'), /ENOTDIR/)
})

await test('billed totals are in the metrics, also after a restart, with bounded labels', async t => {
  const lab = await startExportLab(t)
  const config = exportConfig({ kind: 'prometheus', metrics: ['calls'], tenants: 1 })
  const exports = await lab.start([config])
  await exports.pass()
  await lab.report(exports, { window: START, calls: 3 })
  lab.clock.ms = WINDOW + 2 * HOUR
  await exports.pass()
  await lab.report(
    exports,
    ...['globex', 'initech', 'acme'].map(tenant => ({
      tenant,
      calls: 4,
      window: START + 2 * HOUR,
    })),
  )
  lab.clock.ms += 2 * HOUR
  await exports.pass()
  await exports.exporter.close()
  const after = await lab.start([config])
  await after.pass()
  const metrics = await after.registry.metrics()
  const lines = metrics.split('\n').filter(line => line.startsWith('amt_billed_total{'))
  t.same(lines.toSorted(), [
    'amt_billed_total{export="billing",tenant="_other",metric="calls",operation=""} 8',
    'amt_billed_total{export="billing",tenant="acme",metric="calls",operation=""} 7',
  ])
})
