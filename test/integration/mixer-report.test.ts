import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { type Test, test } from 'tap'
import { columnReport, MAX_RECORDS_PER_REPORT, noUsage } from '../../src/contracts/usage-report.ts'
import { MAX_BODY_BYTES } from '../../src/mixer/http/body.ts'
import { MAX_ANNOUNCEMENTS_AT_ONCE } from '../../src/mixer/http/producers.ts'
import { MAX_REPORTS_AT_ONCE } from '../../src/mixer/http/report.ts'
import { NOON, record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

const HEADERS = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
const now = (): number => NOON

interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
}

async function call(url: string, init: RequestInit = {}): Promise<Answered> {
  const response = await fetch(url, init)
  return { status: response.status, headers: response.headers, body: await response.json() }
}

async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const raw = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  return call(`${url}/v1/report`, {
    method: 'POST',
    headers: { ...HEADERS, ...headers },
    body: raw as BodyInit,
  })
}

async function announce(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Answered> {
  return call(`${url}/v1/producers`, {
    method: 'POST',
    headers: { ...HEADERS, ...headers },
    body: JSON.stringify(body),
  })
}

async function totals(url: string): Promise<unknown> {
  return (await call(`${url}/v1/usage`, { headers: HEADERS })).body['totals']
}

const NOTHING = noUsage()
const ONE = {
  calls: 1,
  ingress: 100,
  egress: 2_000,
  connections: 1,
  connectionMs: 30,
  callMs: 20,
  requestMessages: 2,
  responseMessages: 3,
}

await test('a report is answered with what is durable and counts once', async t => {
  const { url } = await startMixer(t, { now })
  for (const _ of [1, 2, 3]) {
    const { status, body } = await post(url, report(1))
    t.equal(status, 200)
    t.same(body, { producer: 'p1', durable: 1 })
  }
  t.same(await totals(url), ONE)
})

await test('a report of a producer that nobody has announced changes nothing', async t => {
  const { url } = await startMixer(t, { now, known: [] })
  for (const body of [report(1), report(2), { ...report(3), first: 1 }, report(1, [])]) {
    const refused = await post(url, body)
    t.equal(refused.status, 409)
    t.match(refused.headers.get('content-type'), /^application\/problem\+json/)
    t.match(refused.body, { type: 'about:amt/producer_unknown', status: 409 })
    t.match(refused.body, {
      detail: /^producer p1 is not known here: its proxy has to announce it/,
    })
  }
  t.same(await totals(url), NOTHING)
  t.match((await call(`${url}/v1/reconcile`, { headers: HEADERS })).body, { producers: [] })
  t.same((await announce(url, { proxy: 'proxy-1', producers: ['p1'] })).body, {
    proxy: 'proxy-1',
    producers: [{ producer: 'p1', durable: 0 }],
  })
  t.same((await post(url, report(1))).body, { producer: 'p1', durable: 1 })
  t.equal((await post(url, report(1, [record()], 'p2'))).status, 409, 'another one')
  t.same(await totals(url), ONE)
})

await test('a producer that is announced again keeps what it has, and is of who says so last', async t => {
  const { url } = await startMixer(t, { now, known: [] })
  await announce(url, { proxy: 'proxy-1', producers: ['p1'] })
  await post(url, report(1))
  t.same((await announce(url, { proxy: 'proxy-2', producers: ['p1', 'p3', 'p1'] })).body, {
    proxy: 'proxy-2',
    producers: [
      { producer: 'p1', durable: 1 },
      { producer: 'p3', durable: 0 },
    ],
  })
  t.match((await call(`${url}/v1/reconcile`, { headers: HEADERS })).body, {
    producers: [{ producer: 'p1', proxy: 'proxy-2', durable: 1 }],
  })
  t.same(await totals(url), ONE)
})

await test('an announcement that is wrong, or without the token, makes nobody known', async t => {
  const { url } = await startMixer(t, { now, known: [] })
  const one = { proxy: 'proxy-1', producers: ['p1'] }
  for (const [body, what] of [
    [{ ...one, producers: [] }, /producers/],
    [{ ...one, producers: ['p1', '../p'] }, /producers\[1\]/],
    [{ ...one, producers: Array.from({ length: 101 }, (_, index) => `p${index}`) }, /producers/],
    [{ ...one, proxy: '' }, /proxy/],
    [{ ...one, durable: 7 }, /durable/],
    ['p1', /the body/],
  ] as const) {
    const refused = await announce(url, body)
    t.equal(refused.status, 400)
    t.match(refused.body, { type: 'about:amt/malformed_message' })
    t.match(JSON.stringify(refused.body), what)
  }
  const unauthorized = await announce(url, one, { authorization: 'Bearer nobody-knows-this-one' })
  t.match(unauthorized.body, { type: 'about:amt/unauthorized', status: 401 })
  t.equal((await post(url, report(1))).status, 409)
})

await test('a gap is refused with what is expected', async t => {
  const { url } = await startMixer(t, { now })
  const { status, body, headers } = await post(url, report(3))
  t.equal(status, 409)
  t.match(headers.get('content-type'), /^application\/problem\+json/)
  t.match(body, { type: 'about:amt/report_gap', status: 409, expected: 1 })
  t.match(body, { detail: 'producer p1: sequence 1 comes next, not 3' })
  t.same(await totals(url), NOTHING)
})

await test('a gzipped report is taken', async t => {
  const { url } = await startMixer(t, { now })
  const { status } = await post(url, gzipSync(JSON.stringify(report(1))), {
    'content-encoding': 'gzip',
  })
  t.equal(status, 200)
  t.same(await totals(url), ONE)
})

await test('a report by columns is the same as one by records', async t => {
  const { url } = await startMixer(t, { now })
  const records = [record(), record({ tenant: 'globex', calls: 7, code: '5xx', window: 0 })]
  t.equal((await post(url, columnReport(report(1, records)))).status, 200)
  t.equal((await post(url, report(1, records, 'p2'))).status, 200)
  const { body } = await call(`${url}/v1/usage?from=0&by=tenant,code`, { headers: HEADERS })
  t.match(body['windows'], [
    { tenant: 'acme', code: '2xx', calls: 2, egress: 4_000, callMs: 40 },
    { tenant: 'globex', code: '5xx', calls: 14, egress: 4_000, callMs: 40 },
  ])
})

await test('a proxy that counts no messages reports as before, in both forms', async t => {
  const { url } = await startMixer(t, { now })
  const { requestMessages: _, responseMessages: __, ...old } = record()
  t.equal((await post(url, { ...report(1), records: [old] })).status, 200)
  const { columns, ...head } = columnReport(report(1, [record()], 'p2'))
  const { requestMessages: ___, responseMessages: ____, ...oldColumns } = columns
  t.equal((await post(url, { ...head, columns: oldColumns })).status, 200)
  const silent = record({ requestMessages: 0, responseMessages: 0 })
  const { columns: sent } = columnReport(report(1, [silent], 'p3'))
  t.notOk('requestMessages' in sent || 'responseMessages' in sent, 'nor does one without gRPC')
  t.match(await totals(url), { calls: 2, requestMessages: 0, responseMessages: 0 })
})

await test('a report of several batches says with which it begins', async t => {
  const { url } = await startMixer(t, { now })
  const gap = await post(url, { ...report(5), first: 2 })
  t.match(gap.body, { type: 'about:amt/report_gap', expected: 1 })
  t.same((await post(url, { ...report(5), first: 1 })).body, { producer: 'p1', durable: 5 })
  for (const first of [1, 3, 5]) {
    const overlap = await post(url, { ...report(9), first })
    t.equal(overlap.status, 200)
    t.same(overlap.body, { producer: 'p1', durable: 5 }, `overlap from ${first} on`)
  }
  t.same(await totals(url), ONE)
})

await test('a report without records closes a gap, and that is logged', async t => {
  const { url, log } = await startMixer(t, { now })
  t.same((await post(url, { ...report(3, []), first: 1 })).body, { producer: 'p1', durable: 3 })
  t.match(log(), 'a gap is closed')
  t.equal((await post(url, report(4))).status, 200)
  t.same(await totals(url), ONE)
})

await test('a mixer that starts again has its totals and sequences', async t => {
  const first = await startMixer(t, { now })
  await post(first.url, report(1))
  await first.close()
  const second = await startMixer(t, { now, ledger: first.ledger })
  t.same((await post(second.url, report(1))).body, { producer: 'p1', durable: 1 })
  t.same(await totals(second.url), ONE)
})

await test('two mixers on one ledger apply each report once', async t => {
  const first = await startMixer(t, { now })
  const second = await startMixer(t, { now, ledger: first.ledger })
  for (let sequence = 1; sequence <= 5; sequence += 1) {
    const answers = await Promise.all([first, second].map(({ url }) => post(url, report(sequence))))
    for (const { body } of answers) t.same(body, { producer: 'p1', durable: sequence })
  }
  t.match(await totals(first.url), { calls: 5 })
  t.match(await totals(second.url), { calls: 5 })
})

await test('a malformed report changes nothing and says what is wrong with which record', async t => {
  const { url } = await startMixer(t, { now })
  const wrong = (fields: object): object => ({
    ...report(1),
    records: [record(), { ...record(), ...fields }],
  })
  const { calls: _, ...withoutCalls } = record()
  const columns = (changes: object): object => ({
    ...columnReport(report(1)),
    columns: { ...columnReport(report(1)).columns, ...changes },
  })
  const cases: readonly { name: string; body: unknown; problem: RegExp }[] = [
    { name: 'no JSON', body: '{"producer":', problem: /^the body is not valid JSON in UTF-8$/ },
    { name: 'nothing', body: '', problem: /^the body is not valid JSON/ },
    {
      name: 'bytes that are no UTF-8',
      body: Uint8Array.of(0x22, 0xff, 0x22),
      problem: /in UTF-8$/,
    },
    { name: 'no object', body: '[]', problem: /^the body: .*expected object/ },
    { name: 'null', body: 'null', problem: /^the body: .*expected object/ },
    { name: 'very deep', body: '['.repeat(100_000), problem: /not valid JSON/ },
    { name: 'no producer', body: { sequence: 1, records: [] }, problem: /^producer: / },
    {
      name: 'a producer with a slash',
      body: { ...report(1), producer: '../p' },
      problem: /^producer: /,
    },
    { name: 'sequence 0', body: report(0), problem: /^sequence: / },
    { name: 'a sequence that is no integer', body: report(1.5), problem: /^sequence: / },
    { name: 'an unknown key', body: { ...report(1), extra: 1 }, problem: /^the body: .*"extra"/ },
    {
      name: 'records that are no list',
      body: { ...report(1), records: {} },
      problem: /^records: /,
    },
    {
      name: 'too many records',
      body: columnReport(
        report(
          1,
          Array.from({ length: MAX_RECORDS_PER_REPORT + 1 }, () => record()),
        ),
      ),
      problem: /^columns\.tenant: .*50000/,
    },
    {
      name: 'a first batch after the last',
      body: { ...report(1), first: 2 },
      problem: /^first: must not be greater than sequence/,
    },
    { name: 'a first batch 0', body: { ...report(1), first: 0 }, problem: /^first: / },
    {
      name: 'records and columns',
      body: { ...report(1), ...columnReport(report(1)) },
      problem: /^the body: .*"records"/,
    },
    {
      name: 'columns of different lengths',
      body: columns({ calls: [1, 2] }),
      problem: /^columns: must all be of one length/,
    },
    {
      name: 'a column that is missing',
      body: columns({ calls: undefined }),
      problem: /^columns\.calls: /,
    },
    {
      name: 'a bad cell',
      body: columns({ tenant: ['ACME'] }),
      problem: /^columns\.tenant\[0\]: /,
    },
    {
      name: 'messages that are no count',
      body: columns({ requestMessages: [-1] }),
      problem: /^columns\.requestMessages\[0\]: /,
    },
    {
      name: 'a column of messages of another length',
      body: columns({ responseMessages: [] }),
      problem: /^columns: must all be of one length/,
    },
    {
      name: 'an unknown gRPC status',
      body: columns({ code: ['grpc-17'] }),
      problem: /^columns\.code\[0\]: /,
    },
    { name: 'an unknown column', body: columns({ cost: [1] }), problem: /^columns: .*"cost"/ },
    {
      name: 'a record without calls',
      body: { ...report(1), records: [withoutCalls] },
      problem: /^records\[0\]\.calls: /,
    },
    { name: 'a bad tenant', body: wrong({ tenant: 'ACME' }), problem: /^records\[1\]\.tenant: / },
    { name: 'negative calls', body: wrong({ calls: -1 }), problem: /^records\[1\]\.calls: / },
    { name: 'half a byte', body: wrong({ egress: 0.5 }), problem: /^records\[1\]\.egress: / },
    {
      name: 'a count that is not exact',
      body: wrong({ egress: 2 ** 53 }),
      problem: /^records\[1\]\.egress: /,
    },
    { name: 'a count as text', body: wrong({ ingress: '1' }), problem: /^records\[1\]\.ingress: / },
    {
      name: 'an unknown routability',
      body: wrong({ routability: 'l5' }),
      problem: /^records\[1\]\.routability: /,
    },
    { name: 'an unknown code', body: wrong({ code: '200' }), problem: /^records\[1\]\.code: / },
    {
      name: 'a window within a minute',
      body: wrong({ window: NOON + 1 }),
      problem: /^records\[1\]\.window: .*start of a minute/,
    },
    {
      name: 'an unknown key in a record',
      body: wrong({ cost: 1 }),
      problem: /^records\[1\]: .*"cost"/,
    },
  ]
  for (const { name, body, problem } of cases) {
    const answer = await post(url, body)
    t.equal(answer.status, 400, name)
    t.equal(answer.body['type'], 'about:amt/malformed_message', name)
    t.match(answer.body['detail'], problem, name)
  }
  t.same(await totals(url), NOTHING)
  t.same(
    (await post(url, report(1))).body,
    { producer: 'p1', durable: 1 },
    'the sequence is still free',
  )
})

await test('of very many problems the first are told and the rest are counted', async t => {
  const { url } = await startMixer(t, { now })
  const { body } = await post(
    url,
    report(
      1,
      Array.from({ length: 1_000 }, () => record({ calls: -1 })),
    ),
  )
  const problems = body['problems'] as string[]
  t.equal(problems.length, 21)
  t.equal(problems.at(-1), '980 more')
})

await test('a window up to 24 hours ahead is taken, and no later one: a clock is wrong', async t => {
  const { url } = await startMixer(t, { now })
  for (const window of [NOON + 86_460_000, 9_007_199_254_740_000]) {
    const { status, body } = await post(url, report(1, [record(), record({ window })]))
    t.equal(status, 409)
    t.equal(body['type'], 'about:amt/window_ahead')
    t.match(body['detail'], /^records\[1\]\.window: .*24 hours ahead/)
  }
  t.same(await totals(url), NOTHING)
  t.equal((await post(url, report(1, [record({ window: NOON + 86_400_000 })]))).status, 200)
})

await test('a sum that would pass 2^63 - 1 is refused, and larger totals than 2^53 are answered as text', async t => {
  const { url } = await startMixer(t, { now })
  const most = Number.MAX_SAFE_INTEGER
  await post(
    url,
    report(
      1,
      Array.from({ length: 1_024 }, () => record({ ingress: most })),
    ),
  )
  t.match(await totals(url), { ingress: String(1_024n * BigInt(most)), calls: 1_024 })
  const { status, body } = await post(url, report(2, [record(), record({ ingress: most })]))
  t.equal(status, 400)
  t.match(body['detail'], /^records\[1\]: .*2\^63/)
  t.match(await totals(url), { calls: 1_024 })
})

await test('a body of another kind or size is refused', async t => {
  const { url } = await startMixer(t, { now })
  const bomb = gzipSync(Buffer.alloc(MAX_BODY_BYTES + 1, ' '))
  const valid = JSON.stringify(report(1))
  const cases: readonly {
    name: string
    body: string | Uint8Array
    headers: Record<string, string>
    code: string
  }[] = [
    {
      name: 'text',
      body: valid,
      headers: { 'content-type': 'text/plain' },
      code: 'unsupported_media_type',
    },
    {
      name: 'another charset',
      body: valid,
      headers: { 'content-type': 'application/json; charset=latin1' },
      code: 'unsupported_media_type',
    },
    {
      name: 'brotli',
      body: valid,
      headers: { 'content-encoding': 'br' },
      code: 'unsupported_media_type',
    },
    {
      name: 'gzip twice',
      body: valid,
      headers: { 'content-encoding': 'gzip, gzip' },
      code: 'unsupported_media_type',
    },
    {
      name: 'gzip that is none',
      body: valid,
      headers: { 'content-encoding': 'gzip' },
      code: 'malformed_message',
    },
    {
      name: 'gzip cut short',
      body: gzipSync(valid).subarray(0, -9),
      headers: { 'content-encoding': 'gzip' },
      code: 'malformed_message',
    },
    {
      name: 'a zip bomb',
      body: bomb,
      headers: { 'content-encoding': 'gzip' },
      code: 'payload_too_large',
    },
    {
      name: 'too many bytes',
      body: Buffer.alloc(MAX_BODY_BYTES + 1, ' '),
      headers: {},
      code: 'payload_too_large',
    },
  ]
  t.ok(bomb.length < MAX_BODY_BYTES / 500)
  for (const { name, body, headers, code } of cases) {
    t.equal((await post(url, body, headers)).body['type'], `about:amt/${code}`, name)
  }
  t.equal(
    (await post(url, valid, { 'content-type': 'Application/JSON; charset="UTF-8"' })).status,
    200,
  )
})

await test('the cap holds while a body without a length is read, and the answer arrives', async t => {
  const { port } = await startMixer(t, { now })
  const request = httpRequest({ port, method: 'POST', path: '/v1/report', headers: HEADERS })
  const answered = new Promise<string>((resolve, reject) => {
    request.once('response', response => resolve(text(response)))
    request.once('error', reject)
  })
  const chunk = Buffer.alloc(64 * 1024, ' ')
  for (let sent = 0; sent <= MAX_BODY_BYTES; sent += chunk.length) request.write(chunk)
  t.match(JSON.parse(await answered), { status: 413 })
  request.destroy()
})

await test('a body without end is cut off after the answer', async t => {
  const { port } = await startMixer(t, { now })
  const request = httpRequest({
    port,
    method: 'POST',
    path: '/v1/report',
    headers: { 'content-type': 'application/json' },
  })
  const chunk = Buffer.alloc(256 * 1024, ' ')
  const cut = new Promise<void>(resolve => request.once('error', () => resolve()))
  let status = 0
  request.once('response', response => {
    status = response.statusCode ?? 0
    response.on('error', () => {}).resume()
  })
  const feed = (): void => void request.write(chunk, error => error ?? feed())
  feed()
  await cut
  t.equal(status, 401)
})

/** Opens as many calls of `path` as may be under way, then sees `another` refused, and taken when they are through. */
async function fillUp(
  t: Test,
  { port, path, most }: { readonly port: number; readonly path: string; readonly most: number },
  another: () => Promise<Answered>,
  detail: string,
): Promise<void> {
  const open = Array.from({ length: most }, () => {
    const headers = { ...HEADERS, expect: '100-continue' }
    const request = httpRequest({ port, method: 'POST', path, headers })
    request.once('error', () => {})
    request.flushHeaders()
    return request
  })
  // "100 Continue" comes when the request is being served.
  await Promise.all(open.map(request => new Promise(resolve => request.once('continue', resolve))))
  const { status, headers, body } = await another()
  t.equal(status, 503)
  t.equal(headers.get('retry-after'), '1')
  t.match(body, { type: 'about:amt/ledger_unavailable', detail })
  const answers = open.map(request => once(request, 'response'))
  for (const request of open) request.end('{}')
  await Promise.all(answers)
  t.equal((await another()).status, 200, 'and are taken when the others are through')
}

await test('more reports at once than are bounded are told to come again', async t => {
  const { port, url } = await startMixer(t, { now })
  const reports = { port, path: '/v1/report', most: MAX_REPORTS_AT_ONCE }
  await fillUp(t, reports, () => post(url, report(1)), 'too many reports at once')
})

await test('more announcements at once than are bounded are told to come again', async t => {
  const { port, url } = await startMixer(t, { now })
  const announcements = { port, path: '/v1/producers', most: MAX_ANNOUNCEMENTS_AT_ONCE }
  const one = { proxy: 'proxy-1', producers: ['p3'] }
  await fillUp(t, announcements, () => announce(url, one), 'too many announcements at once')
})

await test('a producer that vanishes in the middle of a body leaves nothing behind', async t => {
  const { port, url } = await startMixer(t, { now })
  const body = JSON.stringify(report(1))
  const headers = { ...HEADERS, 'content-length': String(body.length), expect: '100-continue' }
  const request = httpRequest({ port, method: 'POST', path: '/v1/report', headers })
  request.once('error', () => {})
  request.flushHeaders()
  await new Promise(resolve => request.once('continue', resolve))
  request.write(body.slice(0, -1))
  request.destroy()
  t.same(await totals(url), NOTHING)
  t.same((await post(url, report(1))).body, { producer: 'p1', durable: 1 })
})

await test('a mixer whose port is in use holds nothing open', async t => {
  const { ledger, close } = await startMixer(t)
  await close()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  await t.rejects(startMixer(t, { ledger, port }), {
    name: 'MixerStartError',
    message: new RegExp(`^mixer: 127\\.0\\.0\\.1:${port}: the address is already in use`),
  })
  const alone = new DatabaseSync(ledger)
  t.teardown(() => alone.close())
  // SQLite leaves WAL mode only for the one who has the file open alone.
  t.match(alone.prepare('PRAGMA journal_mode = DELETE').get(), { journal_mode: 'delete' })
})

await test('a mixer is closed as often as one likes', async t => {
  const mixer = await startMixer(t)
  await Promise.all([mixer.close(), mixer.close()])
  await mixer.close()
  t.notOk(existsSync(`${mixer.ledger}-wal`))
})
