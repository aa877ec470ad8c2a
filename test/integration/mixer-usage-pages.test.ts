import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { mixerBooksSchema } from '../../src/contracts/reconcile.ts'
import { type UsageAnswer, usageAnswerSchema } from '../../src/contracts/usage-query.ts'
import { createMixerClient, type MixerClient } from '../../src/runtime/mixer-client.ts'
import { MINUTE, NOON, record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

const HEADERS = { authorization: `Bearer ${TOKEN}` }
const now = (): number => NOON

interface Answered {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function get(url: string): Promise<Answered> {
  const response = await fetch(url, { headers: HEADERS })
  return { status: response.status, body: await response.json() }
}

async function usage(url: string): Promise<UsageAnswer> {
  const { status, body } = await get(url)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return usageAnswerSchema.parse(body)
}

async function withClient(
  url: string,
  work: (client: MixerClient) => Promise<unknown>,
): Promise<void> {
  const client = createMixerClient({ url, token: TOKEN })
  await work(client)
  await client.close()
}

await test('pages have each window once, though usage comes in between them', async t => {
  const { url } = await startMixer(t, { now })
  await withClient(url, async client => {
    const tenants = Array.from({ length: 25 }, (_, index) => `tenant-${10 + 2 * index}`)
    await client.report(
      report(
        1,
        tenants.map(tenant => record({ tenant })),
      ),
    )
    const seen: (string | undefined)[] = []
    let next: string | null = ''
    for (let sequence = 2; next !== null; sequence += 1) {
      const cursor = next === '' ? '' : `&cursor=${next}`
      const page: UsageAnswer = await usage(`${url}/v1/usage?from=0&by=tenant&limit=10${cursor}`)
      seen.push(...page.windows.map(window => window.tenant))
      t.equal(page.totals.calls, page.windows.length, 'totals are those of the page')
      next = page.next
      // One before what has been read, one behind it.
      const more = [record({ tenant: 'tenant-0' }), record({ tenant: 'tenant-99' })]
      await client.report(report(sequence, sequence === 2 ? more : []))
    }
    t.same(seen, [...tenants, 'tenant-99'])
  })
})

await test('a cursor goes on with its own query, also when the day has changed', async t => {
  let time = NOON
  const { url } = await startMixer(t, { now: () => time })
  await withClient(url, async client => {
    await client.report(report(1, [record(), record({ window: NOON + MINUTE })]))
    const first = await usage(`${url}/v1/usage?tenant=acme&by=code,minute&limit=1`)
    t.same(first.by, ['minute', 'code'])
    time += 86_400_000
    const cursor = `cursor=${first.next}`
    const second = await usage(`${url}/v1/usage?${cursor}&limit=1`)
    t.match(second, { tenant: 'acme', from: first.from, to: first.to, by: first.by, next: null })
    t.same(
      second.windows.map(({ window }) => window),
      [new Date(NOON + MINUTE).toISOString()],
    )
    t.same(
      await usage(`${url}/v1/usage?tenant=acme&${cursor}`),
      second,
      'what is said again is the same',
    )
    for (const other of ['tenant=globex', 'by=hour', 'from=0', 'to=2026-11-24']) {
      const { status, body } = await get(`${url}/v1/usage?${other}&${cursor}`)
      t.equal(status, 400, other)
      t.match(body['problems'], ['cursor: belongs to another query'], other)
    }
  })
})

await test('a cursor or a limit that is none is refused', async t => {
  const { url } = await startMixer(t, { now })
  const encode = (value: unknown): string =>
    Buffer.from(JSON.stringify(value)).toString('base64url')
  const good = { from: 0, to: MINUTE, by: ['tenant'], dimensions: ['acme'] }
  t.equal((await get(`${url}/v1/usage?cursor=${encode(good)}`)).status, 200)
  const cursors = [
    '',
    'x',
    '%00',
    encode(null),
    encode([]),
    encode({ ...good, by: ['1; DROP TABLE usage'] }),
    encode({ ...good, by: ['tenant', 'tenant'] }),
    encode({ ...good, dimensions: [] }),
    encode({ ...good, dimensions: ['a', 'b'] }),
    encode({ ...good, window: 0 }),
    encode({ ...good, by: ['minute'], dimensions: [] }),
    encode({ ...good, from: 1e300 }),
    encode({ ...good, extra: 1 }),
    'A'.repeat(5_000),
  ]
  for (const cursor of cursors) {
    const { status, body } = await get(`${url}/v1/usage?cursor=${cursor}`)
    t.equal(status, 400, cursor)
    t.equal(body['type'], 'about:amt/malformed_message')
  }
  for (const limit of ['0', '-1', '1.5', 'ten', '', '50001', '1e3']) {
    const { status, body } = await get(`${url}/v1/usage?limit=${limit}`)
    t.equal(status, 400, limit)
    t.match(body['problems'], [/^limit: must be a number from 1 to 50000/])
  }
})

await test('usage that is no longer kept by the minute is refused, and says from when on it is', async t => {
  const { url, ledger } = await startMixer(t, { now })
  const database = new DatabaseSync(ledger)
  database.prepare("UPDATE ledger_mark SET at = ? WHERE name = 'minutes-from'").run(NOON)
  database.close()
  const { status, body } = await get(`${url}/v1/usage?from=${NOON - MINUTE}&by=minute`)
  t.equal(status, 400)
  const problem =
    'from: usage by the minute is kept only from 2026-11-22T12:00:00.000Z on; ask for whole hours, or from then on'
  t.match(body, { type: 'about:amt/malformed_message', problems: [problem] })
  t.equal((await get(`${url}/v1/usage?from=${NOON}&by=minute`)).status, 200)
})

await test('the books show each producer, and the ledger as a whole', async t => {
  const { url } = await startMixer(t, { now })
  await withClient(url, async client => {
    await client.report(report(1, [record(), record({ tenant: 'globex' })], 'p1'))
    await client.report({ ...report(7, [record()], 'p2'), first: 1 })
    const { body } = await get(`${url}/v1/reconcile?by=tenant`)
    const books = mixerBooksSchema.parse(body)
    const at = new Date(NOON).toISOString()
    t.match(books, {
      producers: [
        { producer: 'p1', durable: 1, appliedAt: at, totals: { calls: 2, egress: 4_000 } },
        { producer: 'p2', durable: 7, appliedAt: at, totals: { calls: 1, egress: 2_000 } },
      ],
      next: null,
      reported: { calls: 3, egress: 6_000 },
      tenants: [
        { tenant: 'acme', totals: { calls: 2 } },
        { tenant: 'globex', totals: { calls: 1 } },
      ],
    })
    t.same(books.ledger, books.reported)
    const some = mixerBooksSchema.parse(
      (await get(`${url}/v1/reconcile?producers=p2,unknown`)).body,
    )
    t.same(
      some.producers.map(({ producer }) => producer),
      ['p2'],
    )
    t.notOk('tenants' in some)
    t.same(some.reported, books.reported)
  })
})

await test('the books of many producers come in pages', async t => {
  const names = Array.from({ length: 150 }, (_, index) => `p${1_000 + index}`)
  const { url } = await startMixer(t, { now, known: names })
  await withClient(url, client =>
    Promise.all(names.map(name => client.report(report(1, [record()], name)))),
  )
  const first = mixerBooksSchema.parse((await get(`${url}/v1/reconcile`)).body)
  t.equal(first.producers.length, 100)
  t.equal(first.next, 'p1099')
  const second = mixerBooksSchema.parse((await get(`${url}/v1/reconcile?after=${first.next}`)).body)
  t.same(
    [...first.producers, ...second.producers].map(({ producer }) => producer),
    names,
  )
  t.equal(second.next, null)
  t.match(second.ledger, { calls: 150 })
})

await test('what is wrong with a question for the books is said', async t => {
  const { url } = await startMixer(t, { now })
  const many = Array.from({ length: 101 }, (_, index) => `p${index}`).join(',')
  const cases: Readonly<Record<string, RegExp>> = {
    'tenant=acme': /^"tenant": unknown, allowed are producers, after, by$/,
    'by=producer': /^by: must be tenant$/,
    'producers=': /^producers: must be names/,
    'producers=a/b': /^producers: must be names/,
    [`producers=${many}`]: /^producers: at most 100$/,
    'after=a%20b': /^after: must be the name/,
    'after=a&producers=b': /^after: has no meaning/,
    'by=tenant&by=tenant': /^by: given more than once/,
  }
  for (const [query, problem] of Object.entries(cases)) {
    const { status, body } = await get(`${url}/v1/reconcile?${query}`)
    t.equal(status, 400, query)
    t.match(body['problems'], [problem], query)
  }
  t.equal((await fetch(`${url}/v1/reconcile`)).status, 401)
})
