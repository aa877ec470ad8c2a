/** The second proof of docs/metering.md: each batch two to five times, out of order, to two mixers at once. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t as root, type Test, test } from 'tap'
import type { UsageRecord } from '../../src/contracts/usage-report.ts'
import { createMixerClient } from '../../src/runtime/mixer-client.ts'
import { deliverOften } from '../support/ledger/deliver-often.ts'
import { MINUTE, record } from '../support/ledger/reports.ts'
import { mixerConfig, startMixerProcess, stopMixerProcess } from '../support/mixer-process.ts'
import { startPostgres, WITHOUT_POSTGRES } from '../support/postgres.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { TOKEN } from '../support/start-mixer.ts'

const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2 ** 31)
const JOURNALS = 6
/** Of a journal; with many, most deliveries come too early. */
const BATCHES = 16
const WINDOW = Date.UTC(2026, 10, 25)
const TENANTS = ['acme', 'globex', 'initech']

root.setTimeout(120_000)

function someRecords(random: SeededRandom): UsageRecord[] {
  return Array.from({ length: random.between(0, 4) }, () =>
    record({
      tenant: random.pick(TENANTS),
      window: WINDOW + random.below(3) * MINUTE,
      calls: random.below(1_000),
      egress: random.below(2 ** 40),
    }),
  )
}

const LEDGERS: Record<string, { skip: string | false; open: (t: Test) => Promise<string> }> = {
  SQLite: { skip: false, open: async () => 'sqlite:ledger.db' },
  PostgreSQL: {
    skip: WITHOUT_POSTGRES,
    open: async t => (await startPostgres(t)).createDatabase(),
  },
}

for (const [name, { skip, open }] of Object.entries(LEDGERS)) {
  await test(`each batch two to five times, out of order, to two mixers on one ledger of ${name}: every total is as if once`, {
    skip,
  }, async t => {
    t.comment(`CHAOS_SEED=${SEED}`)
    const config = join(t.testdir({}), 'amt.yaml')
    writeFileSync(config, `${mixerConfig('listen: "127.0.0.1:0"')}ledger: ${await open(t)}\n`)
    const running = await Promise.all([startMixerProcess(t, config), startMixerProcess(t, config)])
    const clients = running.map(({ url }) => createMixerClient({ url, token: TOKEN }))
    const random = new SeededRandom(SEED)
    const journals = Array.from({ length: JOURNALS }, (_, index) => ({
      producer: `producer-${index}`,
      batches: Array.from({ length: BATCHES }, () => someRecords(random)),
    }))
    const { taken, early, overlapping } = await deliverOften(journals, clients, random)
    t.comment(
      `${JOURNALS} journals of ${BATCHES} batches in ${taken} reports; besides, ${early} came too early; ${overlapping} overlapped`,
    )
    t.ok(overlapping > 0, 'also reports that are durable in part')
    const records = journals.flatMap(({ batches }) => batches.flat())
    for (const client of clients) {
      const answer = await client.usage({ from: WINDOW, to: WINDOW + 10 * MINUTE, by: ['tenant'] })
      if (!answer.ok) throw new Error(answer.detail)
      for (const tenant of TENANTS) {
        const own = records.filter(one => one.tenant === tenant)
        t.match(
          answer.usage.windows.find(one => one.tenant === tenant),
          {
            calls: own.reduce((sum, { calls }) => sum + calls, 0),
            egress: own.reduce((sum, { egress }) => sum + egress, 0),
            connections: own.length,
          },
          tenant,
        )
      }
      await client.close()
    }
    for (const mixer of running) t.same(await stopMixerProcess(mixer, 'SIGTERM'), [0, null])
  })
}
