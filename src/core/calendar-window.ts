/**
 * Windows of the calendar in UTC: each second, minute, hour, day and month is one. Pure arithmetic, without a clock.
 */

export const CALENDAR_PERIODS = ['second', 'minute', 'hour', 'day', 'month'] as const
export type CalendarPeriod = (typeof CALENDAR_PERIODS)[number]

/** From its first moment to the first that is no longer in it, in milliseconds since the epoch. */
export interface CalendarWindow {
  readonly start: number
  readonly end: number
}

const DAY_MS = 86_400_000
const LENGTHS = { second: 1_000, minute: 60_000, hour: 3_600_000, day: DAY_MS } as const

/** The window of `period` that `now`, in milliseconds since the epoch, lies in. */
export function calendarWindow(period: CalendarPeriod, now: number): CalendarWindow {
  if (period === 'month') return monthOf(Math.floor(now / DAY_MS))
  const length = LENGTHS[period]
  const start = Math.floor(now / length) * length
  return { start, end: start + length }
}

function monthOf(day: number): CalendarWindow {
  const { year, month } = yearAndMonth(day)
  const next = month === 12 ? firstDay(year + 1, 1) : firstDay(year, month + 1)
  return { start: firstDay(year, month) * DAY_MS, end: next * DAY_MS }
}

/*
 * The Gregorian calendar repeats itself each 400 years, 146,097 days. Years that begin with March have their leap day at the
 * end, and then months of 153 days in five. (Howard Hinnant, "chrono-compatible low-level date algorithms".)
 */
const ERA_DAYS = 146_097
/** Days from the first of March of the year 0 to 1970. */
const EPOCH_DAYS = 719_468

function yearAndMonth(day: number): { year: number; month: number } {
  const shifted = day + EPOCH_DAYS
  const era = Math.floor(shifted / ERA_DAYS)
  const dayOfEra = shifted - era * ERA_DAYS
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month }
}

/** Days since the epoch. */
function firstDay(year: number, month: number): number {
  const shifted = month <= 2 ? year - 1 : year
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5)
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * ERA_DAYS + dayOfEra - EPOCH_DAYS
}
