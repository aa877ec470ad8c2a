/** What a lane asks for, and whether it was reached. */
import type { Lane } from '../lanes/lane.ts'
import { excessOf, ratioOf, spreadOf } from './statistics.ts'

export interface Target {
  readonly text: string
  readonly reached: boolean
}

export interface Figures {
  /** Of the peer, by round. */
  readonly figures: readonly number[]
  /** Of AMT; none where the peer is AMT itself or AMT has none. */
  readonly ours: readonly number[]
}

/** What is asked for in the row of `peer`: of AMT alone, or of AMT beside that peer. Nothing where there is nothing to compare. */
export function targetOf(
  { atLeast, atMost, behind }: Pick<Lane, 'atLeast' | 'atMost' | 'behind'>,
  peer: string,
  { figures, ours }: Figures,
): Target | undefined {
  if (peer === 'amt') {
    if (atMost === undefined) return undefined
    return { text: `at most ${atMost}`, reached: spreadOf(figures).median <= atMost }
  }
  if (ours.length === 0) return undefined
  const [ratio, excess] = [atLeast[peer], behind?.[peer]]
  if (ratio !== undefined)
    return {
      text: String(Math.round(ratio * 100) / 100),
      reached: ratioOf(figures, ours).median >= ratio,
    }
  if (excess === undefined) return undefined
  return {
    text: `AMT at most + ${excess}`,
    reached: excessOf(figures, ours).median <= excess,
  }
}
