/** Values of items as they are written for others. Charges are counted in millionths, everything else in ones. */
import { formatMicros } from '../../contracts/charge.ts'
import type { ExportItem } from './item.ts'

/** Whether a metric is that of a custom event, which charges are made for. */
export function isCharge(metric: string): boolean {
  return metric.startsWith('event:')
}

/** The value in decimal digits, exactly. */
export function decimalOf({ metric, value }: Pick<ExportItem, 'metric' | 'value'>): string {
  return isCharge(metric) ? formatMicros(value) : String(value)
}

/** The value in JSON: a number where that is exact for every reader, else the same digits as a string. */
export function amountOf(item: Pick<ExportItem, 'metric' | 'value'>): number | string {
  const text = decimalOf(item)
  const number = Number(text)
  return Number.isSafeInteger(number) && String(number) === text ? number : text
}
