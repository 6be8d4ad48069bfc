// What the programs beside this one share: the tools, their results, and the way to tell what was seen.

const object = (name) => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name], additionalProperties: false });

export const TOOLS = { get_weather: object("city"), get_time: object("zone") };
export const RESULTS = { get_weather: '{"degrees": 20}', get_time: '{"time": "12:00"}' };
export const { BASE, KEY, MODEL, THINKING_MODEL } = process.env;

// Runs each of `tests` ({name: function}), one after the other, and prints one line of JSON: {name: result}.
// `describe` makes a result of an SDK's error; one that it does not know ends the program.
export async function tell(tests, describe) {
  const seen = {};
  for (const [name, test] of Object.entries(tests)) {
    try {
      seen[name] = await test();
    } catch (error) {
      const described = describe(error);
      if (described === undefined) throw error;
      seen[name] = described;
    }
  }
  console.log(JSON.stringify(seen));
}
