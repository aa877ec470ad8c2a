/**
 * What a client wrote and read on the streams of a tenant is what `/v1/usage` says of that tenant, to the octet: over HTTP/2 in
 * cleartext and TLS, in front of deployments that speak HTTP/1.1, h2c and h2, also for streams that are reset half way, and
 * over HTTP/1.1 in front of deployments that speak HTTP/2 (docs/metering.md).
 */
import { t as root, type Test, test } from 'tap'
import { CONSERVATION } from '../support/http2/conservation-stories.ts'
import { HTTP1 } from '../support/http2/http1-stories.ts'
import { RESETS } from '../support/http2/reset-stories.ts'
import { SHARED, tellShared } from '../support/http2/shared-connection.ts'
import {
  type Billed,
  NOTHING,
  type Story,
  type Told,
  UsageLab,
} from '../support/http2/usage-lab.ts'

root.setTimeout(180_000)

const PATIENCE_MS = 10_000

const DOWNSTREAMS = ['cleartext', 'tls'] as const
const UPSTREAMS = ['http', 'h2c', 'h2'] as const

function tellEach(stories: readonly Story[]): Told[] {
  return stories.flatMap(story =>
    DOWNSTREAMS.flatMap(downstream =>
      UPSTREAMS.filter(upstream => upstream !== 'http' || story.http2Only !== true).map(
        upstream => ({
          name: `${story.name} (${downstream} → ${upstream})`,
          downstream,
          upstream,
          story,
        }),
      ),
    ),
  )
}

/** A story that stands still is one that fails, and the others go on. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error('it does not end')), PATIENCE_MS)
  return Promise.race([work, late.promise]).finally(() => clearTimeout(timer))
}

/** Plays all of them, each on connections of its own, and holds the ledger against what they saw. */
async function compare(t: Test, stories: readonly Told[]): Promise<void> {
  const lab = await UsageLab.start(t, stories)
  const expected = new Map<Told, Billed>()
  for (const told of stories) {
    await t.test(told.name, async t => {
      expected.set(told, NOTHING)
      expected.set(told, await inTime(told.story.play(t, lab.actors(t, told))))
    })
  }
  const billed = await lab.billed(expected)
  for (const [told, wanted] of expected) t.same(billed.get(told), wanted, `billed: ${told.name}`)
  t.equal(await lab.amt.drain(), 0)
  t.same(await lab.billed(expected), billed, 'and nothing more when the proxy has ended')
}

await test('calls that end as they should are billed to the octet', async t =>
  compare(t, tellEach(CONSERVATION)))

await test('streams that are reset half way are billed to the octet', async t =>
  compare(t, tellEach(RESETS)))

await test('calls over HTTP/1.1 to deployments that speak HTTP/2 are billed to the octet', async t =>
  compare(
    t,
    tellEach(HTTP1).filter(({ upstream }) => upstream !== 'http'),
  ))

await test('calls of many tenants on one connection are billed to each, to the octet', async t => {
  for (const downstream of DOWNSTREAMS) {
    await t.test(downstream, async t => {
      const stories: Told[] = [...UPSTREAMS, ...UPSTREAMS].map(upstream => ({
        name: upstream,
        downstream,
        upstream,
        story: SHARED,
      }))
      const lab = await UsageLab.start(t, stories)
      const expected = await tellShared(t, lab, stories)
      const billed = await lab.billed(expected)
      for (const [told, wanted] of expected) t.same(billed.get(told), wanted, told.name)
      t.equal(await lab.amt.drain(), 0)
    })
  }
})
