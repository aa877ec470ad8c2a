/** One tunnel of a client: streams both ways that end whole, or that one of the sides breaks. */
import type { SeededRandom } from '../seeded-random.ts'
import { type CallPlan, planCall, planStream, streamBytes } from './call-plan.ts'
import { ClientConnection } from './client-connection.ts'
import { TUNNEL_MARK } from './marked-deployment.ts'
import { expectedOfBrokenTunnel, keyOf } from './tally.ts'
import { enter, leave } from './tenants.ts'
import type { World } from './world.ts'

/** Opens a tunnel, uses it to its end, and counts it. Nothing, where its deployment is down. */
export async function visitByTunnel(world: World, random: SeededRandom): Promise<void> {
  const { run, tally } = world
  const broken = random.chance(0.3)
  const way = world.tunnelWay(random, broken)
  const { tenant, listener } = way
  if (tenant === undefined || tenant.phase !== 'steady') return
  enter(tenant)
  const death =
    broken && random.chance(0.5)
      ? {
          death: { when: random.below(1_000) / 1_000, how: random.pick(['reset', 'end'] as const) },
        }
      : {}
  const operation = broken ? (death.death === undefined ? 'aborted' : 'dying') : 'normal'
  const plan = planCall(
    random,
    { nonce: run.nonce(), tenant, operation },
    { stream: planStream(random), ...death },
  )
  run.begin(plan, broken ? 'broken tunnel' : 'tunnel')
  const connection = await ClientConnection.open(way.place, random, text => run.violation(text))
  const describe = (): string => `tunnel on ${listener}: ${connection.describe()}`
  run.underWay.add(describe)
  const received = await use(connection, plan, random)
  run.underWay.delete(describe)
  run.end(1)
  leave(tenant)
  const key = keyOf(tenant.id, 'tunnel', listener)
  if (broken) {
    tally.addLater(key, () => expectedOfBrokenTunnel(plan, connection.sent, received))
    return
  }
  tally.add(key, { calls: 0, connections: 1, ingress: connection.sent, egress: received })
  run.plans.delete(plan.nonce)
}

/** Bytes that were received when it is over. */
async function use(
  connection: ClientConnection,
  plan: CallPlan,
  random: SeededRandom,
): Promise<number> {
  const streamed = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  plan.streamClosed = () => closed.resolve()
  const outcome = connection.reader.expectStream(plan, streamed.resolve)
  const line = Buffer.from(`${String.fromCharCode(TUNNEL_MARK)}${plan.nonce}\n`, 'latin1')
  const all = Buffer.concat([line, streamBytes(plan)])
  if (plan.operation === 'aborted') {
    await connection.write(all.subarray(0, random.between(line.length, all.length)))
    connection.abort(random.pick(['reset', 'end']))
    return (await outcome).received
  }
  await connection.write(all)
  if (plan.stream?.clientEnds === 'last' && plan.stream.fromDeployment > 0)
    await Promise.race([streamed.promise, outcome])
  await connection.end()
  const { received } = await outcome
  if (plan.operation === 'normal') await closed.promise
  connection.socket.destroy()
  return received
}
