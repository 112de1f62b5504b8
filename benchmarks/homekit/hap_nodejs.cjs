// A bridge on hap-nodejs as its examples have it: a setter that runs the command.
// node hap_nodejs.cjs MODULE FOLDER COUNT PORT
const { exec } = require("node:child_process");
const [module_, folder, count, port] = process.argv.slice(2);
const { Accessory, Bridge, Categories, Characteristic, HAPStorage, Service, uuid } = require(module_);

HAPStorage.setCustomStoragePath(`${folder}/persist`);
const bridge = new Bridge("Bench", uuid.generate("bench"));
for (let number = 0; number < Number(count); number++) {
  const name = `Switch ${number}`;
  const path = `${folder}/switch-${String(number).padStart(3, "0")}`;
  const accessory = new Accessory(name, uuid.generate(name));
  let on = false;
  accessory
    .addService(Service.Switch, name)
    .getCharacteristic(Characteristic.On)
    .onGet(() => on)
    .onSet(
      (value) =>
        new Promise((resolve, reject) =>
          exec(value ? `touch ${path}` : `rm -f ${path}`, (error) => {
            on = value;
            error ? reject(error) : resolve();
          }),
        ),
    );
  bridge.addBridgedAccessory(accessory);
}
bridge.publish({
  username: "17:51:07:F4:BC:8A",
  pincode: "031-45-154",
  port: Number(port),
  category: Categories.BRIDGE,
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => bridge.unpublish().then(() => process.exit(0)));
}
