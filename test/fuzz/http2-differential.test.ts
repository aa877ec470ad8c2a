/**
 * The same calls between the ends of `node:http2`, and with the codec or the whole proxy in the place of one of them or
 * between them: what both ends have seen must be the same, but for what a proxy must change.
 */
import fc from 'fast-check'
import { t as root, type Test, test } from 'tap'
import { budgetMs, SEED, timeoutMs } from '../support/fuzz/budget.ts'
import { codecClient, codecServer } from '../support/fuzz/exchange/codec-http2.ts'
import { nodeHttp1Client, nodeHttp1Server } from '../support/fuzz/exchange/node-http1.ts'
import { nodeHttp2Client, nodeHttp2Server } from '../support/fuzz/exchange/node-http2.ts'
import type { ExchangeClient, ExchangeServer, Lookup } from '../support/fuzz/exchange/peers.ts'
import {
  type Exchange,
  exchanges,
  type SeenAnswer,
  type SeenRequest,
} from '../support/fuzz/http2-exchanges.ts'
import { type RunningProxy, startProxy } from '../support/start-proxy.ts'

root.setTimeout(timeoutMs('http2-differential'))

interface Seen {
  readonly request: SeenRequest
  readonly answer: SeenAnswer
}

/** Two ends, and what is between them. */
interface Lane {
  readonly name: string
  readonly client: ExchangeClient
  readonly server: ExchangeServer
}

let number = 1
const planned = new Map<number, Exchange>()
/** Of the run before: what was refused unseen is sent again, also where the client has left it meanwhile. */
let former: readonly Exchange[] = []
const lookup: Lookup = id => {
  const exchange = planned.get(id)
  if (exchange === undefined) throw new Error(`nobody asked for exchange ${id}`)
  return exchange
}

async function through({ client, server }: Lane, all: readonly Exchange[]): Promise<Seen[]> {
  return Promise.all(
    all.map(async exchange => {
      const [answer, request] = await Promise.all([client.call(exchange), server.seen(exchange.id)])
      return { request, answer }
    }),
  )
}

/** What a hop sets, and what is of one connection; see docs/http1.md. */
const OF_HOPS =
  /^(x-request-id|x-amt-tenant|x-forwarded-\w+|forwarded|via|host|connection|keep-alive|transfer-encoding|trailer|te|expect): /
const withoutHops = (fields: readonly string[]): string[] =>
  fields.filter(field => !OF_HOPS.test(field))

/** What is left to compare where there is a proxy, or HTTP/1.1, on the way. */
function endToEnd({ request, answer }: Seen, { answer: given }: Exchange): Seen {
  // An answer that never came is the proxy's own.
  const none = given.reset === 'before' && [0, 502].includes(answer.status)
  const fields = none ? [] : withoutHops(answer.fields)
  const end = none ? 'cut' : answer.end
  return {
    request: { ...request, fields: withoutHops(request.fields) },
    answer: {
      ...answer,
      ...(none ? { status: 0 } : {}),
      fields,
      interim: answer.interim.map(withoutHops),
      end,
      code: -1,
    },
  }
}

/** Where an exchange ends by a reset, how much of what was under way came before it is chance. */
function comparable({ request, answer }: Seen, { answer: given, abandoned }: Exchange): unknown {
  const cut = abandoned || given.reset !== 'none'
  const none = { octets: 0, digest: '', trailers: [] }
  return {
    request: { ...request, ...(cut ? none : {}) },
    answer: { ...answer, ...(cut ? none : {}) },
  }
}

interface Comparison {
  /** The first of them is the reference. */
  readonly lanes: readonly Lane[]
  readonly part: number
  readonly look: (seen: Seen, exchange: Exchange) => Seen
}

async function compare(t: Test, { lanes, part, look }: Comparison): Promise<void> {
  const [reference, ...others] = lanes as [Lane, ...Lane[]]
  let calls = 0
  await fc.assert(
    fc.asyncProperty(exchanges, async batch => {
      const run = async (lane: Lane): Promise<string[][]> => {
        const all = batch.map(each => ({ ...each, id: number++ }))
        for (const each of all) planned.set(each.id, each)
        const seen = await through(lane, all).catch((error: unknown) => {
          throw new Error(lane.name, { cause: error })
        })
        for (const { id } of former) planned.delete(id)
        former = all.filter(({ abandoned, answer }) => abandoned || answer.reset !== 'none')
        for (const each of all) if (!former.includes(each)) planned.delete(each.id)
        return seen.map((each, index) =>
          withoutNumber(comparable(look(each, all[index] as Exchange), all[index] as Exchange)),
        )
      }
      const wanted = await run(reference)
      for (const lane of others) {
        const found = await run(lane)
        for (const index of batch.keys()) {
          const differs = firstDifference(wanted[index], found[index])
          if (differs !== '') throw new Error(`${lane.name}, ${index}: ${differs}`)
        }
      }
      calls += batch.length
    }),
    {
      seed: SEED,
      numRuns: 10_000_000,
      interruptAfterTimeLimit: budgetMs('http2-differential') * part,
      markInterruptAsFailure: false,
      endOnFailure: true,
    },
  )
  t.comment(`${calls} calls, each in ${others.length + 1} ways`)
  t.ok(calls > 0)
}

/** The number of an exchange is of this run of it alone. */
function withoutNumber(seen: unknown): string[] {
  const text = JSON.stringify(seen, undefined, 1).replaceAll(/"x-exchange: \d+"/g, '"x-exchange"')
  return text.split('\n')
}

function firstDifference(wanted: string[] = [], found: string[] = []): string {
  const at = wanted.findIndex((line, index) => line !== found[index])
  const around = (lines: string[]): string => lines.slice(Math.max(0, at - 2), at + 3).join(' ')
  if (at >= 0) return `${around(wanted)}, and not ${around(found)}`
  return wanted.length === found.length ? '' : `then ${found[wanted.length]}`
}

async function lane(
  name: string,
  connect: (port: number) => Promise<ExchangeClient>,
  server: ExchangeServer,
  port = server.port,
): Promise<Lane> {
  return { name, client: await connect(port), server }
}

await test('sessions of the codec and of node:http2 see the same of the same calls', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  const [node, codec] = [await nodeHttp2Server(lookup), await codecServer(lookup)]
  const lanes = [
    await lane('node to node', nodeHttp2Client, node),
    await lane('node to codec', nodeHttp2Client, codec),
    await lane('codec to node', codecClient, node),
    await lane('codec to codec', codecClient, codec),
  ]
  try {
    await compare(t, { lanes, part: 0.4, look: seen => seen })
  } finally {
    for (const { client } of lanes) await client.close()
    await node.close()
    await codec.close()
  }
})

/** One proxy for each server, with all that such a client or server may do a thousand times allowed. */
async function proxyFor(scheme: string, { port }: ExchangeServer): Promise<RunningProxy> {
  return startProxy({
    listeners: [{ name: 'private', mode: 'private', port: 0, protocol: 'http' }],
    tenants: [
      {
        id: 'acme',
        address: '127.0.0.1',
        deployment: { endpoints: [`${scheme}://127.0.0.1:${port}`] },
      },
    ],
  })
}

await test('the proxy leaves calls as they are, whatever is spoken on its two sides', async t => {
  t.comment(`FUZZ_SEED=${SEED}`)
  const [two, one] = [await nodeHttp2Server(lookup), await nodeHttp1Server(lookup)]
  const [toTwo, toOne] = [await proxyFor('h2c', two), await proxyFor('http', one)]
  const lanes = [
    await lane('HTTP/2, direct', nodeHttp2Client, two),
    await lane('HTTP/2 to HTTP/2', nodeHttp2Client, two, toTwo.port('private')),
    await lane('HTTP/2 to HTTP/1.1', nodeHttp2Client, one, toOne.port('private')),
    await lane('HTTP/1.1 to HTTP/2', nodeHttp1Client, two, toTwo.port('private')),
    await lane('HTTP/1.1 to HTTP/1.1', nodeHttp1Client, one, toOne.port('private')),
  ]
  try {
    await compare(t, { lanes, part: 0.6, look: endToEnd })
  } finally {
    for (const { client } of lanes) await client.close()
    for (const proxy of [toTwo, toOne]) await proxy.close()
    for (const server of [two, one]) await server.close()
  }
})
