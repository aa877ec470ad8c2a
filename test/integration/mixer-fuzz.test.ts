/** Whatever is posted: an answer with a code, no crash, and the ledger as it was unless the answer is 200. */
import fc from 'fast-check'
import { test } from 'tap'
import { problemSchema } from '../../src/contracts/problem.ts'
import { NOON, record, report } from '../support/ledger/reports.ts'
import { startMixer, TOKEN } from '../support/start-mixer.ts'

const RUNS = 300
const HEADERS = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }

/** A report of which one value has been replaced by any other. */
const almostValid = fc
  .tuple(
    fc.constantFrom(...Object.keys(record()), 'producer', 'sequence', 'records'),
    fc.jsonValue({ maxDepth: 3 }),
  )
  .map(([key, value]) => {
    const fields = { [key]: value }
    return JSON.stringify(
      key in record() ? report(1, [{ ...record(), ...fields }]) : { ...report(1), ...fields },
    )
  })

const bodies = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
  fc.json({ maxDepth: 4 }).map(text => Buffer.from(text)),
  almostValid.map(text => Buffer.from(text)),
  fc.tuple(fc.nat(), fc.nat(255)).map(([at, byte]) => {
    const bytes = Buffer.from(JSON.stringify(report(1)))
    bytes[at % bytes.length] = byte
    return bytes
  }),
)

const codings = fc.constantFrom({}, {}, {}, { 'content-encoding': 'gzip' })

await test('no body of a report crashes the mixer or counts by accident', async t => {
  const { url, log } = await startMixer(t, { now: () => NOON })
  let calls = 0
  await fc.assert(
    fc.asyncProperty(bodies, codings, async (body, coding) => {
      const response = await fetch(`${url}/v1/report`, {
        method: 'POST',
        headers: { ...HEADERS, ...coding },
        body,
      })
      const answer: unknown = await response.json()
      const usage = await fetch(`${url}/v1/usage?from=0`, { headers: HEADERS })
      const { totals } = (await usage.json()) as { totals: { calls: number } }
      if (response.status === 200) {
        // One byte can turn a report into another valid one.
        calls = totals.calls
        return
      }
      problemSchema.parse(answer)
      if (response.status !== 400 && response.status !== 409)
        throw new Error(`status ${response.status}`)
      if (totals.calls !== calls) throw new Error('a refused report was counted')
    }),
    { numRuns: RUNS },
  )
  t.notMatch(log(), /a call failed/)
  t.equal((await fetch(`${url}/readyz`)).status, 200)
})

await test('no query crashes the mixer', async t => {
  const { url, log } = await startMixer(t, { now: () => NOON })
  const name = fc.oneof(fc.constantFrom('tenant', 'from', 'to', 'by'), fc.string())
  const value = fc.oneof(
    fc.string(),
    fc.nat().map(String),
    fc.date({ noInvalidDate: true }).map(date => date.toISOString()),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, value), { maxLength: 4 }), async pairs => {
      const response = await fetch(`${url}/v1/usage?${new URLSearchParams(pairs)}`, {
        headers: HEADERS,
      })
      await response.json()
      return response.status === 200 || response.status === 400
    }),
    { numRuns: RUNS },
  )
  t.notMatch(log(), /a call failed/)
})
