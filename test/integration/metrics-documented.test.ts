/** Metrics are an interface: what a proxy or a mixer exposes is described, and what is described is exposed. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { metricTypes, mixerExposition } from '../support/metric-exposition.ts'
import { StartedPrimary } from '../support/start-primary.ts'

const DOCS = join(import.meta.dirname, '../../docs')

await test('every metric of proxy and mixer is described in docs/', async t => {
  const described = describedIn(DOCS)
  const { body } = await new StartedPrimary(t, {}).get('/metrics')
  const exposed = [body, await mixerExposition()].flatMap(text => [...metricTypes(text).keys()])
  t.ok(exposed.includes('amt_calls_total') && exposed.includes('amt_mixer_reports_total'))
  t.same(
    exposed.filter(name => !described.has(name)),
    [],
  )
})

/** All names in backticks, also with labels behind them. */
function describedIn(folder: string): Set<string> {
  const names = readdirSync(folder)
    .filter(name => name.endsWith('.md'))
    .flatMap(name => [...readFileSync(join(folder, name), 'utf8').matchAll(/`([a-z_]+)[`{]/g)])
  return new Set(names.map(([, name = '']) => name))
}
