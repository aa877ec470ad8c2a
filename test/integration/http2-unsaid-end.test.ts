/**
 * Answers of a deployment that are whole but for the end of their stream, which is never said. Over HTTP/1.1 their client has
 * all of them and goes on: what it asks next on the same connection may be another tenant's business.
 */

import { INTERNAL_ERROR } from '../support/http2/codes.ts'
import type { FramePeer } from '../support/http2/frame-peer.ts'
import type { FrameStream } from '../support/http2/frame-stream.ts'
import { type Http2Lab, http2Test, outcomeOf, request } from '../support/http2/http2-lab.ts'
import { answering } from '../support/manual-deployment.ts'
import { eventually, ok, type ProxyLab, tenant } from '../support/proxy-lab.ts'
import { RawClient } from '../support/raw-client.ts'
import type { RunningProxy } from '../support/start-proxy.ts'

/** What becomes of such a stream. */
type Fate = (peer: FramePeer, stream: FrameStream) => void

const FATES: readonly (readonly [name: string, fate: Fate])[] = [
  ['the connection is lost', peer => peer.abort('end')],
  ['the stream is reset', (_peer, stream) => stream.reset(INTERNAL_ERROR)],
  ['nothing more comes', () => {}],
]

interface World {
  readonly proxy: RunningProxy
  /** Resolves to the first call that came to the deployment of `acme`. */
  readonly first: () => Promise<{ readonly peer: FramePeer; readonly stream: FrameStream }>
}

/** `acme` gets answers that announce four octets, have `body`, and do not end; `globex` gets whole ones. */
async function worldOf(lab: ProxyLab, http2: Http2Lab, body: string): Promise<World> {
  const unsaid = await http2.deployment(stream => {
    stream.section([
      [':status', '200'],
      ['content-length', '4'],
    ])
    if (body !== '') stream.write(Buffer.from(body))
  })
  const other = await lab.deployment({ serve: answering(ok('globex')) })
  const proxy = await lab.proxy({
    tenants: [
      tenant('acme', other, { deployment: { endpoints: [unsaid.url] } }),
      tenant('globex', other),
    ],
    timeouts: { idle: '1s' },
  })
  return {
    proxy,
    first: async () => {
      await unsaid.came(1)
      return unsaid.streams[0] as (typeof unsaid.streams)[number]
    },
  }
}

/** All that a client gets that asks `acme`, and then, on the same connection, `globex`. */
async function twoCalls(world: World, method: string, body: string, fate: Fate): Promise<string> {
  const client = await RawClient.connect(world.proxy.port('public'))
  const text = (): string => client.received.toString('latin1')
  client.send(`${method} / HTTP/1.1\r\nhost: acme.test\r\n\r\n`)
  await client.until(() => text().endsWith(`\r\n\r\n${body}`))
  client.send('GET / HTTP/1.1\r\nhost: globex.test\r\n\r\n')
  const { peer, stream } = await world.first()
  fate(peer, stream)
  await client.until(() => text().endsWith('globex'))
  const said = client.closed ? `${text()} and the end` : text()
  client.close()
  return said
}

const BOTH = (body: string): RegExp =>
  new RegExp(`^HTTP/1\\.1 200 [^]*\r\n\r\n${body}HTTP/1\\.1 200 [^]*\r\n\r\nglobex$`)

for (const [name, fate] of FATES) {
  await http2Test(
    `a whole answer, then ${name}: the next call of the connection is answered, and both are billed`,
    async (t, lab, http2) => {
      const world = await worldOf(lab, http2, 'acme')
      t.match(await twoCalls(world, 'GET', 'acme', fate), BOTH('acme'))
      const billed = (): string[] =>
        world.proxy
          .journaled()
          .filter(({ calls }) => calls > 0)
          .map(({ tenant, code, calls }) => `${calls} ${code} of ${tenant}`)
      await eventually(() => billed().length === 2)
      t.same(new Set(billed()), new Set(['1 2xx of acme', '1 2xx of globex']))
    },
  )

  await http2Test(
    `the whole answer to HEAD, then ${name}: the next call of the connection is answered`,
    async (t, lab, http2) => {
      const world = await worldOf(lab, http2, '')
      t.match(await twoCalls(world, 'HEAD', '', fate), BOTH(''))
    },
  )

  await http2Test(
    `an answer that lacks an octet, then ${name}: no client takes it for whole`,
    async (t, lab, http2) => {
      const world = await worldOf(lab, http2, 'acm')
      t.match(await twoCalls(world, 'GET', 'acm', fate), /\r\n\r\nacm and the end$/)
    },
  )

  await http2Test(
    `a whole answer over HTTP/2, then ${name}: its client is told that the end was never said`,
    async (t, lab, http2) => {
      const world = await worldOf(lab, http2, 'acme')
      const call = request(await http2.client(world.proxy))
      const { peer, stream } = await world.first()
      await call.until(() => call.dataReceived === 4)
      fate(peer, stream)
      t.match(await outcomeOf(call), /^reset /)
    },
  )
}
