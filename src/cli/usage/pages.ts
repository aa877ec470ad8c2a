/** Usage of any length, read from the mixer page by page. */
import {
  type UsageAnswer,
  type UsageQuery,
  type UsageSums,
  usageSumsOf,
} from '../../contracts/usage-query.ts'
import { noExactUsage, USAGE_COUNTERS } from '../../contracts/usage-report.ts'
import type { MixerClient, UsageResult } from '../../runtime/mixer-client.ts'

const WINDOWS_A_PAGE = 10_000

/** All pages; a failure is the last thing that it gives. */
export async function* usagePages(
  mixer: Pick<MixerClient, 'usage'>,
  query: UsageQuery,
): AsyncGenerator<UsageResult, void> {
  let cursor: string | undefined
  do {
    const result = await mixer.usage({
      ...query,
      limit: WINDOWS_A_PAGE,
      ...(cursor === undefined ? {} : { cursor }),
    })
    yield result
    cursor = (result.ok ? result.usage.next : null) ?? undefined
  } while (cursor !== undefined)
}

/** One answer out of all pages: its totals are exactly the sums of its windows, each of the moment of its page. */
export async function wholeUsage(
  mixer: Pick<MixerClient, 'usage'>,
  query: UsageQuery,
): Promise<UsageResult> {
  const pages: UsageAnswer[] = []
  for await (const result of usagePages(mixer, query)) {
    if (!result.ok) return result
    pages.push(result.usage)
  }
  const [first] = pages
  if (first === undefined) throw new Error('there is always a first page')
  const windows = pages.flatMap(page => page.windows)
  return { ok: true, usage: { ...first, totals: total(pages), windows, next: null } }
}

function total(pages: readonly UsageAnswer[]): UsageSums {
  const sums = noExactUsage()
  for (const { totals } of pages)
    for (const counter of USAGE_COUNTERS) sums[counter] += BigInt(totals[counter])
  return usageSumsOf(sums)
}
