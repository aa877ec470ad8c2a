import { test } from 'tap'
import { parseUsageTime } from '../../../../src/cli/usage/time.ts'

const NOW = Date.UTC(2026, 10, 22, 12, 30)
const MIDNIGHT = Date.UTC(2026, 10, 22)

await test('times as people write them', async t => {
  const cases: readonly [string, number | string | undefined][] = [
    ['now', NOW],
    ['today', MIDNIGHT],
    ['yesterday', MIDNIGHT - 86_400_000],
    ['-90m', NOW - 90 * 60_000],
    ['-24h', NOW - 86_400_000],
    ['-7d', NOW - 7 * 86_400_000],
    ['2026-11-22', '2026-11-22'],
    ['2026-11-22T13:00:00+01:00', '2026-11-22T13:00:00+01:00'],
    ['1795352400000', '1795352400000'],
    ['tomorrow', undefined],
    ['-', undefined],
    ['-7', undefined],
    ['-99999999d', undefined],
    ['', undefined],
    ['2026 11', undefined],
  ]
  for (const [text, expected] of cases) t.equal(parseUsageTime(text, NOW), expected, text)
})
