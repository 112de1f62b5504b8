// The other controller: npm's hap-controller, which shares no line with aiohomekit.
//   node second_controller.mjs MODULE DEVICE_ID PORT CODE
// Pairs, reads, writes, hears an event, is refused, unpairs; prints one JSON object of what it saw.
import { createRequire } from "node:module";

const [module, id, port, code] = process.argv.slice(2);
const { HttpClient } = createRequire(import.meta.url)(module);

const client = new HttpClient(id, "127.0.0.1", Number(port));
const seen = {};

await client.identify();
await client.pairSetup(code);
seen.pairings = (await client.listPairings()).size > 0;
const { accessories } = await client.getAccessories();
seen.accessories = accessories.length;
const files = accessories.find((accessory) =>
  accessory.services[0].characteristics.some(({ value }) => value === "Tile files"),
);
const on = `${files.aid}.9`;
seen.before = (await client.getCharacteristics([on])).characteristics[0].value;

const event = new Promise((resolve) => client.on("event", resolve));
await client.subscribeCharacteristics([on]);

const writer = new HttpClient(id, "127.0.0.1", Number(port), client.getLongTermData());
await writer.setCharacteristics({ [on]: true });
seen.event = (await event).characteristics[0].value;
seen.after = (await writer.getCharacteristics([on])).characteristics[0].value;
seen.refused = (await writer.setCharacteristics({ [on]: "banana" })).characteristics[0].status;
await writer.close();
await client.removePairing(client.pairingProtocol.iOSDevicePairingID);
client.closePersistentConnection();
console.log(JSON.stringify(seen));
process.exit(0);
