/** The names of metrics, as Prometheus itself judges them. */
import { test } from 'tap'
import { metricTypes, mixerExposition, proxyExposition } from '../../support/metric-exposition.ts'
import { runCommand, skipWithout } from '../../support/program.ts'

const skip = skipWithout({ promtool: 'prometheus' })

await test('promtool check metrics finds nothing in the metrics of a proxy', { skip }, async t => {
  const input = await proxyExposition()
  t.ok(metricTypes(input).size > 40, 'they are there')
  t.same(await check(input), { code: 0, said: '' })
})

await test('promtool check metrics finds nothing in the metrics of a mixer', { skip }, async t => {
  t.same(await check(await mixerExposition()), { code: 0, said: '' })
})

await test('promtool would say so', { skip }, async t => {
  const { code, said } = await check('# TYPE amt_calls counter\namt_calls 1\n')
  t.not(code, 0)
  t.match(said, /_total/)
})

async function check(input: string): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await runCommand(['promtool', ['check', 'metrics']], { input })
  return { code, said: `${stdout.toString()}${stderr}` }
}
