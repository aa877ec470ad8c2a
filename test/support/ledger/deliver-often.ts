/** Delivers batches as the worst of networks would: often, late, out of order, cut into reports anew, to several mixers at once. */
import type { UsageRecord } from '../../../src/contracts/usage-report.ts'
import type { MixerClient } from '../../../src/runtime/mixer-client.ts'
import type { SeededRandom } from '../seeded-random.ts'

const LEAST_TIMES = 2
const MOST_TIMES = 5
const MOST_BATCHES_A_REPORT = 4
/** Deliveries under way at once. */
const TOGETHER = 12

/** The batches of one journal; number 1 is the first. */
export interface Journal {
  readonly producer: string
  readonly batches: readonly (readonly UsageRecord[])[]
}

export interface Deliveries {
  /** Reports that were answered with what is durable. */
  readonly taken: number
  /** That came too early, and were refused. */
  readonly early: number
  /** Of those taken, that were durable in part and went on behind it. */
  readonly overlapping: number
}

/** Batches `first` to `last`. */
interface Range {
  readonly journal: Journal
  readonly first: number
  readonly last: number
}

/**
 * Each batch is delivered two to five times, not counting what is refused because an earlier one is missing. Rejects where a
 * mixer answers anything else.
 */
export async function deliverOften(
  journals: readonly Journal[],
  mixers: readonly Pick<MixerClient, 'announce' | 'report'>[],
  random: SeededRandom,
): Promise<Deliveries> {
  const waiting = journals.flatMap(journal =>
    Array.from({ length: random.between(LEAST_TIMES, MOST_TIMES) }, () =>
      rangesOf(journal, random),
    ).flat(),
  )
  await Promise.all(
    mixers.map(async mixer => {
      const producers = journals.map(({ producer }) => producer)
      const announced = await mixer.announce({ proxy: 'proxy-1', producers })
      if (!announced.ok) throw new Error(announced.detail)
    }),
  )
  const counts = { taken: 0, early: 0, overlapping: 0 }
  const deliver = async (): Promise<void> => {
    for (;;) {
      const [range] = waiting.splice(random.below(waiting.length), 1)
      if (range === undefined) return
      const durable = await report(range, random.pick(mixers))
      if (durable === 'early') {
        counts.early++
        waiting.push(range)
        continue
      }
      counts.taken++
      if (durable >= range.last) continue
      counts.overlapping++
      waiting.push({ ...range, first: durable + 1 })
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, deliver))
  return counts
}

function rangesOf(journal: Journal, random: SeededRandom): Range[] {
  const ranges: Range[] = []
  for (let first = 1; first <= journal.batches.length; ) {
    const last = Math.min(journal.batches.length, first + random.below(MOST_BATCHES_A_REPORT))
    ranges.push({ journal, first, last })
    first = last + 1
  }
  return ranges
}

async function report(
  { journal, first, last }: Range,
  mixer: Pick<MixerClient, 'report'>,
): Promise<number | 'early'> {
  const records = journal.batches.slice(first - 1, last).flat()
  const result = await mixer.report({ producer: journal.producer, first, sequence: last, records })
  if (result.ok) return result.durable
  if (result.reason === 'refused' && result.code === 'report_gap') return 'early'
  throw new Error(result.detail)
}
