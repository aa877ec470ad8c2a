/** What looks for leaks over HTTP/2 finds those that there are, and none where there are none. */
import { type Test, test } from 'tap'
import { FakeRelay, LEAKS, type Leak } from '../../support/cross-tenant/fake-relay.ts'
import { MarkedDeployment } from '../../support/cross-tenant/marked-deployment.ts'
import { Run } from '../../support/cross-tenant/run.ts'
import { Tally } from '../../support/cross-tenant/tally.ts'
import { makeTenants } from '../../support/cross-tenant/tenants.ts'
import { Http2Visit } from '../../support/cross-tenant/visit-http2.ts'
import { World } from '../../support/cross-tenant/world.ts'
import { SeededRandom } from '../../support/seeded-random.ts'

const SEED = Number(process.env['AMT_SEED'] ?? Date.now() % 2 ** 31)
const EXCHANGES = 800
const CLIENTS = 4
const FIXTURES = 0
const FIRST_VISIT = 1
/** What a relay can do that knows nothing of credentials. */
const WEIGHTS = { call: 70, death: 5, 'reset of a request': 5, 'reset of an answer': 5 }

/** Random visits through a relay that leaks; what they have found. */
async function visit(t: Test, leak: Leak | undefined): Promise<Run> {
  const run = new Run(SEED, EXCHANGES)
  const fixtures = await makeTenants(SeededRandom.fork(SEED, FIXTURES), 4, t.testdir({}))
  const deployments = fixtures.tenants.map(
    // A relay that knows no retries: nothing is turned away.
    tenant => new MarkedDeployment(run, tenant, '127.0.0.1', { version: 'h2c', steady: true }),
  )
  for (const deployment of deployments) await deployment.listen()
  const relay = new FakeRelay(
    fixtures.tenants,
    deployments.map(({ url }) => url),
    leak,
  )
  const way = { listener: 'plain', place: await relay.listen(), tenant: undefined }
  const world = new World({ run, tally: new Tally() }, fixtures, [])
  let visits = FIRST_VISIT
  const client = async (): Promise<void> => {
    while (!run.over)
      await Http2Visit.make(world, SeededRandom.fork(SEED, visits++), { way, weights: WEIGHTS })
  }
  const clients = Promise.all(Array.from({ length: CLIENTS }, client))
  // Where something was found, the end of the relay is the end of whoever waits for what will not come.
  const ended = clients.catch((error: unknown) => {
    if (run.violations.length === 0) throw error
  })
  await run.reached(Number.POSITIVE_INFINITY)
  if (run.violations.length === 0) await ended
  await relay.close()
  for (const deployment of deployments) await deployment.die('end')
  await ended
  t.comment(`${run.begun} exchanges: ${run.violations[0] ?? 'nothing'}`)
  return run
}

await test(`no leak, and none is found (AMT_SEED=${SEED})`, async t => {
  const run = await visit(t, undefined)
  t.same(run.violations, [])
  t.ok(run.ended >= EXCHANGES)
})

for (const leak of LEAKS) {
  await test(`found: ${leak}`, async t => {
    const run = await visit(t, leak)
    t.not(run.violations.length, 0)
  })
}
