/** Windows of the calendar, compared with those that Date computes, and at the days that calendars get wrong. */
import fc from 'fast-check'
import { test } from 'tap'
import { calendarWindow } from '../../../src/core/calendar-window.ts'

const iso = (time: number): string => new Date(time).toISOString()

function month(text: string): string[] {
  const { start, end } = calendarWindow('month', Date.parse(text))
  return [iso(start), iso(end)]
}

await test('a month is that of the calendar, whatever its length', async t => {
  const cases = [
    ['2026-11-25T12:00:00Z', '2026-11-01', '2026-12-01'],
    ['2026-12-31T23:59:59.999Z', '2026-12-01', '2027-01-01'],
    ['2027-01-01T00:00:00.000Z', '2027-01-01', '2027-02-01'],
    ['2028-02-29T13:00:00Z', '2028-02-01', '2028-03-01'],
    ['2027-02-28T23:59:59.999Z', '2027-02-01', '2027-03-01'],
    ['2000-02-29T00:00:00Z', '2000-02-01', '2000-03-01'],
    ['2100-02-28T23:00:00Z', '2100-02-01', '2100-03-01'],
    ['1970-01-01T00:00:00Z', '1970-01-01', '1970-02-01'],
  ] as const
  for (const [moment, start, end] of cases)
    t.same(month(moment), [`${start}T00:00:00.000Z`, `${end}T00:00:00.000Z`], moment)
})

await test('months are those of Date, in all of 600 years', async t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(2570, 0, 1) }), now => {
      const date = new Date(now)
      const [year, index] = [date.getUTCFullYear(), date.getUTCMonth()]
      const { start, end } = calendarWindow('month', now)
      return start === Date.UTC(year, index, 1) && end === Date.UTC(year, index + 1, 1)
    }),
    { numRuns: 2_000 },
  )
  t.pass()
})

await test('shorter windows begin at their whole second, minute, hour and day', async t => {
  const now = Date.parse('2026-11-25T13:14:15.678Z')
  const starts = {
    second: '2026-11-25T13:14:15.000Z',
    minute: '2026-11-25T13:14:00.000Z',
    hour: '2026-11-25T13:00:00.000Z',
    day: '2026-11-25T00:00:00.000Z',
  } as const
  const lengths = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const
  for (const period of ['second', 'minute', 'hour', 'day'] as const) {
    const { start, end } = calendarWindow(period, now)
    t.same([iso(start), end - start], [starts[period], lengths[period]])
    t.same(calendarWindow(period, start), { start, end }, 'its first moment is in it')
    t.equal(calendarWindow(period, end).start, end, 'its end is the first of the next')
    t.equal(calendarWindow(period, start - 1).end, start)
  }
})
