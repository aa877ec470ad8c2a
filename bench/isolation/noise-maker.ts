/** The program that makes noise, of one or several scenarios at once, from `start` to `stop`. */
import { answerQuestions } from './ipc-program.ts'
import type { NoiseCounts, NoiseTarget, RunningNoise } from './noise/noise.ts'
import { SCENARIOS } from './scenarios.ts'

export type NoiseQuestion =
  | { readonly do: 'start'; readonly scenarios: readonly string[]; readonly target: NoiseTarget }
  | { readonly do: 'stop' }

/** By scenario; empty as the answer to `start`. */
export type NoiseAnswer = Readonly<Record<string, NoiseCounts>>

const running = new Map<string, RunningNoise>()

answerQuestions(async (asked): Promise<NoiseAnswer> => {
  const question = asked as NoiseQuestion
  if (question.do === 'start') {
    for (const { name, noise } of SCENARIOS)
      if (noise && question.scenarios.includes(name)) running.set(name, noise(question.target))
    return {}
  }
  const stopped = [...running].map(async ([name, noise]) => [name, await noise.stop()] as const)
  running.clear()
  return Object.fromEntries(await Promise.all(stopped))
})
