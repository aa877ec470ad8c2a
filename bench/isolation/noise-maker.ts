/** The program that makes noise, of one or several scenarios at once, from `start` to `stop`. */
import { answerQuestions } from './ipc-program.ts'
import type { NoiseCounts, NoiseTarget, RunningNoise } from './noise/noise.ts'
import { SCENARIOS } from './scenarios.ts'

export type NoiseQuestion =
  /** By scenario. */
  | { readonly do: 'start'; readonly targets: Readonly<Record<string, NoiseTarget>> }
  | { readonly do: 'stop' }

/** By scenario; empty as the answer to `start`. */
export type NoiseAnswer = Readonly<Record<string, NoiseCounts>>

const running = new Map<string, RunningNoise>()

answerQuestions(async (asked): Promise<NoiseAnswer> => {
  const question = asked as NoiseQuestion
  if (question.do === 'start') {
    for (const { name, noise } of SCENARIOS) {
      const target = question.targets[name]
      if (noise && target) running.set(name, noise(target))
    }
    return {}
  }
  const stopped = [...running].map(async ([name, noise]) => [name, await noise.stop()] as const)
  running.clear()
  return Object.fromEntries(await Promise.all(stopped))
})
