import fc from 'fast-check'
import { test } from 'tap'
import {
  parseBandwidth,
  parseDuration,
  parsePercentage,
  parseRate,
  parseSize,
} from '../../../src/core/units.ts'

type Parser = (text: string) => number | undefined
type Cases = readonly (readonly [text: string, value: number | undefined])[]

const TABLES: readonly (readonly [name: string, parse: Parser, cases: Cases])[] = [
  [
    'durations become milliseconds',
    parseDuration,
    [
      ['0s', 0],
      ['250ms', 250],
      ['5s', 5_000],
      ['1.5m', 90_000],
      ['2h', 7_200_000],
      ['30d', 2_592_000_000],
      ['5', undefined],
      ['s', undefined],
      ['5 s', undefined],
      ['5S', undefined],
      ['-5s', undefined],
      ['+5s', undefined],
      ['1e3ms', undefined],
      ['5.s', undefined],
      ['.5s', undefined],
      ['5s\n', undefined],
      ['5s5m', undefined],
      ['5w', undefined],
      ['5constructor', undefined],
      ['104249991d', 9_007_199_222_400_000],
      ['104249992d', undefined],
      [`${'9'.repeat(400)}ms`, undefined],
    ],
  ],
  [
    'sizes become whole bytes',
    parseSize,
    [
      ['0B', 0],
      ['512B', 512],
      ['64KiB', 65_536],
      ['10MiB', 10_485_760],
      ['2GiB', 2_147_483_648],
      ['1TiB', 1_099_511_627_776],
      ['1.5KiB', 1_536],
      ['0.3KiB', 307],
      ['10', undefined],
      ['10MB', undefined],
      ['10mib', undefined],
      ['10M', undefined],
      ['8191TiB', 9_006_099_743_113_216],
      ['8192TiB', undefined],
    ],
  ],
  [
    'rates become events a second',
    parseRate,
    [
      ['100/s', 100],
      ['6000/m', 100],
      ['50000/h', 50_000 / 3_600],
      ['0.5/s', 0.5],
      ['0/s', undefined],
      ['100', undefined],
      ['100/d', undefined],
      ['100/ms', undefined],
      ['100 / s', undefined],
      ['-1/s', undefined],
      [`${'9'.repeat(400)}/s`, undefined],
    ],
  ],
  [
    'bandwidths become bytes a second',
    parseBandwidth,
    [
      ['512KiB/s', 524_288],
      ['10MiB/s', 10_485_760],
      ['0B/s', undefined],
      ['10MiB', undefined],
      ['10MiB/m', undefined],
      ['10/s', undefined],
      ['/s', undefined],
    ],
  ],
  [
    'percentages become fractions',
    parsePercentage,
    [
      ['0%', 0],
      ['50%', 0.5],
      ['12.5%', 0.125],
      ['100%', 1],
      ['101%', undefined],
      ['-1%', undefined],
      ['50', undefined],
      ['50 %', undefined],
      ['50percent', undefined],
      ['%', undefined],
    ],
  ],
]

for (const [name, parse, cases] of TABLES) {
  await test(name, async t => {
    for (const [text, value] of cases)
      t.equal(parse(text), value, JSON.stringify(text).slice(0, 40))
  })
}

await test('whatever the text, a quantity is a safe number of at least zero, or nothing', async t => {
  const text = fc.oneof(
    fc.string(),
    fc.stringMatching(/^\d{1,400}(\.\d+)?(ms|s|m|h|d|KiB|TiB)?(\/[smh])?$/),
  )
  for (const parse of [parseDuration, parsePercentage, parseSize, parseRate, parseBandwidth]) {
    fc.assert(
      fc.property(text, sample => {
        const value = parse(sample)
        return value === undefined || (value >= 0 && Number.isSafeInteger(Math.floor(value)))
      }),
    )
    t.pass(parse.name)
  }
})
