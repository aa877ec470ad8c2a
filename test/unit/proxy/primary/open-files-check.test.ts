/** Descriptor limits too low: said with the number needed, and fatal only where nothing could work. */
import { test } from 'tap'
import { openFilesNeed, openFilesProblem } from '../../../../src/proxy/primary/open-files-check.ts'
import { proxyConfig } from '../../../support/start-proxy.ts'

const config = proxyConfig({
  listeners: [{ name: 'public', mode: 'shared', address: '127.0.0.1:0' }],
  limits: { connections: 2_000 },
})

await test('what a worker needs: to begin, and for one tenant at its limits', t => {
  t.same(openFilesNeed(config, 2, 1_024), { limit: 1_024, least: 257, enough: 257 + 1_512 })
  const small = { ...config, limits: { ...config.limits, upstreamConnections: 10 } }
  t.same(openFilesNeed(small, 1, 1_024), { limit: 1_024, least: 257, enough: 257 + 2_010 })
  t.end()
})

await test('descriptor limits too low are said with the number needed', t => {
  const problem = (limit: number | undefined): unknown =>
    openFilesProblem({ ...openFilesNeed(config, 2), limit })
  t.same(problem(1_769), undefined)
  t.match(problem(1_768), {
    fatal: false,
    problem: /may have 1768 open files, and a worker needs 1769 .* raise the limit to 1769 or more/,
  })
  t.match(problem(256), {
    fatal: true,
    problem:
      /may have 256 open files, and a worker needs 257 to serve at all; raise the limit to 1769/,
  })
  t.same(problem(undefined), undefined, 'where nobody says there is nothing to complain of')
  t.end()
})
