import { test } from 'tap'
import { parseUsageQuery } from '../../../src/mixer/http/usage-query.ts'
import { MINUTE, NOON } from '../../support/ledger/reports.ts'

const DAY = 24 * 60 * MINUTE
const MIDNIGHT = NOON - 12 * 60 * MINUTE
const NOW = NOON + 30_500

function parse(text: string): ReturnType<typeof parseUsageQuery> {
  return parseUsageQuery(new URLSearchParams(text), NOW)
}

await test('a time range in whole minutes', async t => {
  const cases: readonly { name: string; text: string; from: number; to: number }[] = [
    { name: 'nothing: today, to its end', text: '', from: MIDNIGHT, to: MIDNIGHT + DAY },
    {
      name: 'from alone: until the end of today',
      text: 'from=2026-11-20',
      from: MIDNIGHT - 2 * DAY,
      to: MIDNIGHT + DAY,
    },
    {
      name: 'to alone: from the start of its day',
      text: 'to=2026-11-20T15:00Z',
      from: MIDNIGHT - 2 * DAY,
      to: NOON - 2 * DAY + 180 * MINUTE,
    },
    {
      name: 'to alone at midnight: the day that ends there',
      text: 'to=2026-11-20',
      from: MIDNIGHT - 3 * DAY,
      to: MIDNIGHT - 2 * DAY,
    },
    {
      name: 'milliseconds',
      text: `from=${NOON}&to=${NOON + MINUTE}`,
      from: NOON,
      to: NOON + MINUTE,
    },
    {
      name: 'parts of a minute count as the whole',
      text: `from=${NOON + 1}&to=${NOON + 2}`,
      from: NOON,
      to: NOON + MINUTE,
    },
    { name: 'an offset', text: 'from=2026-11-22T13:00:00%2B01:00', from: NOON, to: MIDNIGHT + DAY },
    { name: 'no offset is UTC', text: 'from=2026-11-22T12:00', from: NOON, to: MIDNIGHT + DAY },
    {
      name: 'fractions of a second',
      text: 'from=2026-11-22T12:00:59.999Z',
      from: NOON,
      to: MIDNIGHT + DAY,
    },
    { name: 'the beginning of time', text: 'from=0', from: 0, to: MIDNIGHT + DAY },
  ]
  for (const { name, text, from, to } of cases) t.match(parse(text), { query: { from, to } }, name)
})

await test('groupings, with the time first', async t => {
  const cases: readonly { text: string; by: string[] }[] = [
    { text: 'by=operation', by: ['operation'] },
    { text: 'by=tenant,hour,code', by: ['hour', 'tenant', 'code'] },
    { text: 'by=code,code', by: ['code'] },
    { text: '', by: ['minute'] },
    { text: 'from=2026-11-01', by: ['hour'] },
    { text: 'from=2025-11-01', by: ['day'] },
  ]
  for (const { text, by } of cases) t.match(parse(text), { by }, text)
})

await test('what is not understood is refused, all of it at once', async t => {
  const cases: readonly { text: string; problems: readonly RegExp[] }[] = [
    {
      text: 'tennant=acme',
      problems: [/^"tennant": unknown, allowed are tenant, from, to, by, limit, cursor$/],
    },
    { text: 'tenant=acme&tenant=globex', problems: [/^tenant: given more than once$/] },
    { text: 'tenant=', problems: [/^tenant: must be 1 to 63/] },
    { text: 'tenant=ACME', problems: [/^tenant: must be/] },
    { text: 'from=yesterday', problems: [/^from: must be a time/] },
    { text: 'from=', problems: [/^from: must be a time/] },
    { text: 'from=2026-02-31', problems: [/^from: must be a time/] },
    { text: 'from=2026-13-01', problems: [/^from: must be a time/] },
    { text: 'from=2026-11-22T25:00Z', problems: [/^from: must be a time/] },
    { text: 'from=2026-11-22T13:00:00+01:00', problems: [/^from: .*%2B/] },
    { text: 'from=-1', problems: [/^from: must be a time/] },
    { text: 'from=1969-12-31', problems: [/^from: must be a time/] },
    { text: 'to=9999999999999999', problems: [/^to: must be a time/] },
    { text: 'from=2026-11-22&to=2026-11-22', problems: [/^to: must be later than from$/] },
    { text: 'from=2026-11-25', problems: [/^to: must be later than from$/] },
    { text: 'by=', problems: [/^by: "" is unknown/] },
    {
      text: 'by=price',
      problems: [/^by: "price" is unknown, allowed are minute, hour, day, tenant/],
    },
    { text: 'by=hour,day', problems: [/^by: only one of minute, hour and day$/] },
    { text: 'by=constructor,__proto__', problems: [/"constructor"/, /"__proto__"/] },
    { text: 'tenant=A&from=x&by=y', problems: [/^tenant/, /^from/, /^by/] },
  ]
  for (const { text, problems } of cases) t.match(parse(text), { problems }, text)
})
